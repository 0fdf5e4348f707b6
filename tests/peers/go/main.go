// A node of the newest go-libp2p as a test peer, driven over stdin. Without --listen it stays on loopback; no bootstrap
// and no mDNS in any case.
//
//	peer [options]        the options are in options.go
//
// Prints one JSON object a line: first {"event": "ready", "peerId", "addrs"}, then one per command, which is a JSON
// array on a line. The commands are in the tables of the files beside this one. It ends with its standard input.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

const (
	longestLine = 4 << 20
	dialTime    = 15 * time.Second
)

// A command's answer is merged into {"ok": true, "seconds": ...}.
type answer = map[string]any

// Words of one line after the first.
type words []any

func (w words) text(at int) string {
	if at >= len(w) {
		return ""
	}
	return fmt.Sprint(w[at])
}

// The number at a place, or what to take when there is none.
func (w words) number(at int, otherwise float64) float64 {
	if at >= len(w) {
		return otherwise
	}
	if number, ok := w[at].(float64); ok {
		return number
	}
	number, err := strconv.ParseFloat(fmt.Sprint(w[at]), 64)
	if err != nil {
		return otherwise
	}
	return number
}

func (w words) seconds(at int, otherwise float64) time.Duration {
	return time.Duration(w.number(at, otherwise) * float64(time.Second))
}

type command func(context.Context, words) (answer, error)

func say(value any) {
	line, err := json.Marshal(value)
	if err != nil {
		line, _ = json.Marshal(answer{"ok": false, "error": err.Error()})
	}
	os.Stdout.Write(append(line, '\n'))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func run(commands map[string]command, line []byte) answer {
	var all words
	if err := json.Unmarshal(line, &all); err != nil || len(all) == 0 {
		return answer{"ok": false, "error": "not a JSON array of words"}
	}
	do, known := commands[all.text(0)]
	if !known {
		return answer{"ok": false, "error": "unknown command " + all.text(0)}
	}
	ctx, cancel := context.WithTimeout(context.Background(), opts.transfer)
	defer cancel()
	began := time.Now()
	result, err := do(ctx, all[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, all.text(0), err)
		return answer{"ok": false, "error": err.Error()}
	}
	out := answer{"ok": true, "seconds": time.Since(began).Seconds()}
	maps.Copy(out, result)
	return out
}

func main() {
	parse()
	// the terminal's ^C is for the tests; this process ends with its input
	signal.Ignore(syscall.SIGINT)
	peer, err := start(context.Background())
	if err != nil {
		fail(err)
	}
	commands := map[string]command{}
	for _, table := range []map[string]command{
		peer.connections(), peer.content(), peer.routes(), peer.relays(), peer.topics(), peer.flows(), peer.http(),
	} {
		maps.Copy(commands, table)
	}
	say(answer{"event": "ready", "peerId": peer.host.ID().String(), "addrs": peer.bound()})
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, longestLine)
	for lines.Scan() {
		if line := lines.Bytes(); len(line) > 0 {
			if string(line) == `["close"]` {
				break
			}
			say(run(commands, line))
		}
	}
	peer.close()
}
