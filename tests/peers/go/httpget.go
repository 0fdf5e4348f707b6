package main

import (
	"context"
	"encoding/base64"
	"time"

	"github.com/ipfs/boxo/bitswap/client"
	"github.com/ipfs/boxo/bitswap/network/httpnet"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

func (n *node) http() map[string]command {
	return map[string]command{
		// ["http-get", MADDR/tls/http, PEER, CID, SECONDS=15] -> data in base64: as Kubo fetches from an HTTP provider, by
		// HTTP/2 over TLS, with any certificate
		"http-get": n.httpGet,
	}
}

func (n *node) httpGet(ctx context.Context, w words) (answer, error) {
	addr, err := multiaddr.NewMultiaddr(w.text(0))
	if err != nil {
		return nil, err
	}
	provider, err := peer.Decode(w.text(1))
	if err != nil {
		return nil, err
	}
	id, err := cid.Decode(w.text(2))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, w.seconds(3, 15*time.Second.Seconds()))
	defer cancel()
	// a host of its own, so that nothing comes by libp2p
	host, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		return nil, err
	}
	defer host.Close()
	net := httpnet.New(host, httpnet.WithInsecureSkipVerify(true))
	store := blockstore.NewBlockstore(datastore.NewMapDatastore())
	bitswap := client.New(ctx, net, nil, store)
	defer bitswap.Close()
	net.Start(bitswap)
	defer net.Stop()
	if err := net.Connect(ctx, peer.AddrInfo{ID: provider, Addrs: []multiaddr.Multiaddr{addr}}); err != nil {
		return nil, err
	}
	block, err := bitswap.GetBlock(ctx, id)
	if err != nil {
		return nil, err
	}
	return answer{"data": base64.StdEncoding.EncodeToString(block.RawData())}, nil
}
