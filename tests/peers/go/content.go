package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/chunker"
	"github.com/ipfs/boxo/files"
	"github.com/ipfs/boxo/ipld/merkledag"
	unixfs "github.com/ipfs/boxo/ipld/unixfs"
	unixfile "github.com/ipfs/boxo/ipld/unixfs/file"
	"github.com/ipfs/boxo/ipld/unixfs/importer/balanced"
	"github.com/ipfs/boxo/ipld/unixfs/importer/helpers"
	uio "github.com/ipfs/boxo/ipld/unixfs/io"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multihash"
)

const (
	chunkSize   = 1 << 20
	width       = 1024
	fetchers    = 64
	provideTime = 10 * time.Second
)

var version1 = cid.V1Builder{Codec: cid.DagProtobuf, MhType: multihash.SHA2_256}

func (n *node) content() map[string]command {
	return map[string]command{
		// ["add", PATH] -> cid: CIDv1, 1 MiB raw leaves; provided if there is a DHT
		"add": n.add,
		// ["get", CID, OUT], by Bitswap in a session: files, folders and symlinks
		"get": n.get,
		// ["block-put", BASE64, CODEC=0x55] -> cid
		"block-put": n.blockPut,
		// ["block-get", CID, SECONDS=15] -> data in base64
		"block-get": n.blockGet,
		// ["has", CID] -> whether it is stored here
		"has": func(ctx context.Context, w words) (answer, error) {
			id, err := cid.Decode(w.text(0))
			if err != nil {
				return nil, err
			}
			has, err := n.store.Has(ctx, id)
			return answer{"has": has}, err
		},
	}
}

func (n *node) add(ctx context.Context, w words) (answer, error) {
	root, err := n.addPath(ctx, w.text(0))
	if err != nil {
		return nil, err
	}
	if n.dht != nil {
		ctx, cancel := context.WithTimeout(ctx, provideTime)
		defer cancel()
		if err := n.dht.Provide(ctx, root.Cid(), true); err != nil {
			fmt.Fprintln(os.Stderr, "not provided:", err)
		}
	}
	return answer{"cid": root.Cid().String()}, nil
}

func (n *node) addPath(ctx context.Context, path string) (ipld.Node, error) {
	stat, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	switch {
	case stat.Mode()&os.ModeSymlink != 0:
		return n.addSymlink(ctx, path)
	case stat.IsDir():
		return n.addFolder(ctx, path)
	default:
		return n.addFile(path)
	}
}

func (n *node) addFile(path string) (ipld.Node, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	params := helpers.DagBuilderParams{Maxlinks: width, RawLeaves: true, CidBuilder: version1, Dagserv: n.dag}
	builder, err := params.New(chunk.NewSizeSplitter(file, chunkSize))
	if err != nil {
		return nil, err
	}
	return balanced.Layout(builder)
}

func (n *node) addSymlink(ctx context.Context, path string) (ipld.Node, error) {
	target, err := os.Readlink(path)
	if err != nil {
		return nil, err
	}
	data, err := unixfs.SymlinkData(target)
	if err != nil {
		return nil, err
	}
	link := merkledag.NodeWithData(data)
	if err := link.SetCidBuilder(version1); err != nil {
		return nil, err
	}
	return link, n.dag.Add(ctx, link)
}

func (n *node) addFolder(ctx context.Context, path string) (ipld.Node, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	folder, err := uio.NewDirectory(n.dag, uio.WithCidBuilder(version1))
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		child, err := n.addPath(ctx, filepath.Join(path, entry.Name()))
		if err != nil {
			return nil, err
		}
		if err := folder.AddChild(ctx, entry.Name(), child); err != nil {
			return nil, err
		}
	}
	root, err := folder.GetNode()
	if err != nil {
		return nil, err
	}
	return root, n.dag.Add(ctx, root)
}

func (n *node) get(ctx context.Context, w words) (answer, error) {
	id, err := cid.Decode(w.text(0))
	if err != nil {
		return nil, err
	}
	session := merkledag.NewReadOnlyDagService(merkledag.NewSession(ctx, n.dag))
	// a want waits 20 ms for company: one after the other, the blocks of a tree would take ten seconds
	links := merkledag.GetLinksDirect(session)
	if err := merkledag.Walk(ctx, links, id, cid.NewSet().Visit, merkledag.Concurrency(fetchers)); err != nil {
		return nil, err
	}
	root, err := session.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	found, err := unixfile.NewUnixfsFile(ctx, session, root)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	if file, plain := found.(files.File); plain {
		if _, link := found.(*files.Symlink); !link {
			return answer{"rc": 0}, save(file, w.text(1))
		}
	}
	return answer{"rc": 0}, files.WriteTo(found, w.text(1))
}

func save(file io.Reader, path string) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, file); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

func (n *node) blockPut(ctx context.Context, w words) (answer, error) {
	data, err := base64.StdEncoding.DecodeString(w.text(0))
	if err != nil {
		return nil, err
	}
	prefix := cid.Prefix{Version: 1, Codec: uint64(w.number(1, cid.Raw)), MhType: multihash.SHA2_256, MhLength: -1}
	id, err := prefix.Sum(data)
	if err != nil {
		return nil, err
	}
	block, err := blocks.NewBlockWithCid(data, id)
	if err != nil {
		return nil, err
	}
	return answer{"cid": id.String()}, n.blocks.AddBlock(ctx, block)
}

func (n *node) blockGet(ctx context.Context, w words) (answer, error) {
	id, err := cid.Decode(w.text(0))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, w.seconds(1, 15))
	defer cancel()
	block, err := blockservice.NewSession(ctx, n.blocks).GetBlock(ctx, id)
	if err != nil {
		return nil, err
	}
	return answer{"data": base64.StdEncoding.EncodeToString(block.RawData())}, nil
}
