// A certificate authority (Pebble), a broker that owns a domain, and its name server, all on loopback, for AutoTLS.
//
// The broker is not p2p-forge, whose server has no licence: it is this file, over go-libp2p's own implementation of
// authentication by peer id. It demands what p2p-forge 0.10 does: a proof of the peer, no unknown fields, a digest of 32
// bytes, and a connection to the peer at one of its addresses. It stands behind a balancer of two, which tells clients
// apart by a cookie, as the public one does.
//
//	acme --cert FILE --key FILE [--domain D] [--lifetime SECONDS] [--token T]
//
// Prints one JSON object a line: first {"event": "ready", "acme", "broker", "dns", "root"}, then one per command, which
// is a JSON array on a line: ["broker", "well" | "unwell" | "mute"], ["seen"]. It ends with its standard input.
package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/letsencrypt/challtestsrv"
	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	httppeeridauth "github.com/libp2p/go-libp2p/p2p/http/auth"
	"github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multibase"
)

const (
	longestBody = 1 << 16
	dialTime    = 10 * time.Second
	backends    = 2
)

type broker struct {
	domain, token string
	records       *challtestsrv.ChallSrv
	mu            sync.Mutex
	state         string
	seen          map[string]int
	next          int
}

func main() {
	cert := flag.String("cert", "", "certificate of the authority's own server")
	key := flag.String("key", "", "its key")
	domain := flag.String("domain", "libp2p.test", "of the broker")
	lifetime := flag.Uint64("lifetime", 90*24*3600, "seconds that certificates are valid")
	token := flag.String("token", "", "that the broker demands")
	flag.Parse()

	address := freePort()
	records, err := challtestsrv.New(challtestsrv.Config{DNSAddrs: []string{address}, Log: quiet()})
	fail(err)
	go records.Run()

	store := db.NewMemoryStore()
	profiles := map[string]ca.Profile{"default": {Description: "for tests", ValidityPeriod: *lifetime}}
	authority := ca.New(quiet(), store, "", "ecdsa", 0, 1, profiles)
	front := wfe.New(quiet(), store, va.New(quiet(), 0, 0, false, address, store), authority, nil, false, false, 1, 1)
	acme := listen()
	go func() { fail(http.ServeTLS(acme, front.Handler(), *cert, *key)) }()

	own := &broker{domain: *domain, token: *token, records: records, state: "well", seen: map[string]int{}}
	registration := listen()
	go func() { fail(http.Serve(registration, own.handler(registration.Addr().String()))) }()

	say(map[string]any{
		"event":  "ready",
		"acme":   "https://" + acme.Addr().String() + wfe.DirectoryPath,
		"broker": "http://" + registration.Addr().String(),
		"dns":    address,
		"root":   string(authority.GetRootCert(0).PEM()),
	})
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var words []string
		if err := json.Unmarshal(lines.Bytes(), &words); err != nil || len(words) == 0 {
			say(map[string]any{"ok": false, "error": "not a JSON array of words"})
			continue
		}
		say(own.command(words))
	}
}

func (b *broker) command(words []string) map[string]any {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case words[0] == "broker" && len(words) == 2:
		b.state = words[1]
		return map[string]any{"ok": true}
	case words[0] == "seen":
		return map[string]any{"ok": true, "seen": b.seen}
	}
	return map[string]any{"ok": false, "error": "unknown command " + words[0]}
}

func (b *broker) handler(host string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/health", func(w http.ResponseWriter, r *http.Request) {
		if b.note("health") == "unwell" {
			w.Header().Set("Retry-After", "7200")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	several := make([]*httppeeridauth.ServerPeerIDAuth, backends)
	for at := range several {
		secret, _, err := crypto.GenerateEd25519Key(rand.Reader)
		fail(err)
		several[at] = &httppeeridauth.ServerPeerIDAuth{
			PrivKey:         secret,
			TokenTTL:        time.Hour,
			NoTLS:           true,
			ValidHostnameFn: func(name string) bool { return name == host },
			Next:            b.register,
		}
	}
	mux.HandleFunc("POST /v1/_acme-challenge", func(w http.ResponseWriter, r *http.Request) {
		b.note("challenge")
		several[b.backend(w, r)].ServeHTTP(w, r)
	})
	return mux
}

// The backend that a cookie names; the others in turn, so that the second request without one misses the first's.
func (b *broker) backend(w http.ResponseWriter, r *http.Request) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	for at := range backends {
		if cookie, err := r.Cookie("backend"); err == nil && cookie.Value == fmt.Sprint(at) {
			return at
		}
	}
	b.next = (b.next + 1) % backends
	http.SetCookie(w, &http.Cookie{Name: "backend", Value: fmt.Sprint(b.next), Path: "/", HttpOnly: true})
	return b.next
}

func (b *broker) note(what string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen[what]++
	return b.state
}

func (b *broker) register(id peer.ID, w http.ResponseWriter, r *http.Request) {
	if b.token != "" && r.Header.Get("Forge-Authorization") != b.token {
		http.Error(w, "403 Forbidden: Missing Forge-Authorization header.", http.StatusForbidden)
		return
	}
	var asked struct {
		Value     string   `json:"value"`
		Addresses []string `json:"addresses"`
	}
	body := json.NewDecoder(io.LimitReader(r.Body, longestBody))
	body.DisallowUnknownFields()
	if err := body.Decode(&asked); err != nil {
		http.Error(w, "error decoding body: "+err.Error(), http.StatusBadRequest)
		return
	}
	if digest, err := base64.RawURLEncoding.DecodeString(asked.Value); err != nil || len(digest) != 32 {
		http.Error(w, "value is not a base64url of a SHA256 digest", http.StatusBadRequest)
		return
	}
	if err := dial(r.Context(), id, asked.Addresses); err != nil {
		http.Error(w, "error testing addresses: "+err.Error(), http.StatusBadRequest)
		return
	}
	if b.note("registered") == "mute" {
		return // it says that all is well, and does nothing
	}
	name := "_acme-challenge." + strings.ToLower(peer.ToCid(id).Encode(multibase.MustNewEncoder(multibase.Base36))) + "." + b.domain + "."
	b.records.DeleteDNSTXTRecord(name)
	b.records.AddDNSTXTRecord(name, asked.Value)
}

// Connects to the peer from a host of its own; go-libp2p returns when identify is done.
func dial(ctx context.Context, id peer.ID, addresses []string) error {
	host, err := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableRelay())
	if err != nil {
		return err
	}
	defer host.Close()
	var addrs []multiaddr.Multiaddr
	for _, text := range addresses {
		addr, err := multiaddr.NewMultiaddr(text)
		if err != nil {
			return err
		}
		addrs = append(addrs, addr)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	return host.Connect(ctx, peer.AddrInfo{ID: id, Addrs: addrs})
}

func listen() net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	fail(err)
	return listener
}

// A port that is free for TCP and UDP.
func freePort() string {
	for {
		stream := listen()
		address := stream.Addr().String()
		packets, err := net.ListenPacket("udp", address)
		stream.Close()
		if err == nil {
			packets.Close()
			return address
		}
	}
}

func quiet() *log.Logger { return log.New(os.Stderr, "", log.LstdFlags) }

func say(value any) {
	line, err := json.Marshal(value)
	fail(err)
	os.Stdout.Write(append(line, '\n'))
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
