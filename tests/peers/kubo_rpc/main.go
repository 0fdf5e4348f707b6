// Calls a daemon through Kubo's own client for its RPC, and prints what came, a JSON object a line.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/boxo/path"
	"github.com/ipfs/kubo/client/rpc"
	iface "github.com/ipfs/kubo/core/coreiface"
	"github.com/ipfs/kubo/core/coreiface/options"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func tell(what string, value any) {
	must(json.NewEncoder(os.Stdout).Encode(map[string]any{"what": what, "value": value}))
}

func contents(node files.Node) string {
	file, ok := node.(files.File)
	if !ok {
		must(fmt.Errorf("not a file: %T", node))
	}
	data, err := io.ReadAll(file)
	must(err)
	return string(data)
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	api, err := rpc.NewURLApiWithClient(os.Args[1], http.DefaultClient)
	must(err)

	root, err := api.Unixfs().Add(ctx, files.NewMapDirectory(map[string]files.Node{
		"a":   files.NewBytesFile([]byte("hello")),
		"sub": files.NewMapDirectory(map[string]files.Node{"b": files.NewBytesFile([]byte("world"))}),
	}), options.Unixfs.Pin(true, "go"))
	must(err)
	tell("added", root.RootCid().String())

	inner, err := path.Join(root, "sub", "b")
	must(err)
	got, err := api.Unixfs().Get(ctx, inner)
	must(err)
	tell("got", contents(got))

	entries := make(chan iface.DirEntry)
	failed := make(chan error, 1)
	go func() { failed <- api.Unixfs().Ls(ctx, root, entries) }()
	names := []string{}
	for entry := range entries {
		names = append(names, fmt.Sprintf("%s %s", entry.Name, entry.Type))
	}
	must(<-failed)
	sort.Strings(names)
	tell("listed", names)

	pins := make(chan iface.Pin)
	go func() { failed <- api.Pin().Ls(ctx, pins, options.Pin.Ls.Recursive(), options.Pin.Ls.Detailed(true)) }()
	pinned := []string{}
	for pin := range pins {
		if pin.Path().RootCid() == root.RootCid() {
			pinned = append(pinned, pin.Type()+" "+pin.Name())
		}
	}
	must(<-failed)
	tell("pinned", pinned)
	must(api.Pin().Rm(ctx, root))
	_, is, err := api.Pin().IsPinned(ctx, root)
	must(err)
	tell("still pinned", is)

	block, err := api.Block().Put(ctx, files.NewBytesFile([]byte("block")))
	must(err)
	tell("block", block.Size())
	reader, err := api.Block().Get(ctx, block.Path())
	must(err)
	data, err := io.ReadAll(reader)
	must(err)
	tell("block again", string(data))

	_, err = api.Key().Generate(ctx, "from-go")
	must(err)
	keys, err := api.Key().List(ctx)
	must(err)
	found := []string{}
	for _, one := range keys {
		found = append(found, one.Name())
	}
	tell("keys", found)
	name, err := api.Name().Publish(ctx, root, options.Name.Key("from-go"), options.Name.AllowOffline(true))
	must(err)
	where, err := api.Name().Resolve(ctx, name.String())
	must(err)
	tell("resolved", where.String() == root.String())

	answer, err := api.Request("files/write", "/from-go").Option("create", true).FileBody(strings.NewReader("mutable")).Send(ctx)
	must(err)
	must(answer.Close())
	read, err := api.Request("files/read", "/from-go").Send(ctx)
	must(err)
	text, err := io.ReadAll(read.Output)
	must(err)
	tell("mutable", string(text))

	_, err = api.Unixfs().Get(ctx, pathOr(path.Join(root, "absent")))
	tell("absent", fmt.Sprint(err))
	short, stop := context.WithTimeout(ctx, 300*time.Millisecond)
	defer stop()
	_, err = api.Block().Get(short, pathOr(path.NewPath("/ipfs/bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy")))
	tell("cancelled", err != nil)
}

func pathOr(found path.Path, err error) path.Path {
	must(err)
	return found
}
