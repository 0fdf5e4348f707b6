package main

import (
	"context"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
)

func (n *node) relays() map[string]command {
	return map[string]command{
		// ["reserve", MULTIADDR OF A RELAY] -> a reservation by hand; --autorelay keeps one by itself
		"reserve": func(ctx context.Context, w words) (answer, error) {
			info, err := peer.AddrInfoFromString(w.text(0))
			if err != nil {
				return nil, err
			}
			got, err := client.Reserve(ctx, n.host, *info)
			if err != nil {
				return nil, err
			}
			out := answer{
				"expires": got.Expiration.Unix(), "addrs": texts(got.Addrs), "voucher": got.Voucher != nil,
				"limitSeconds": got.LimitDuration.Seconds(), "limitBytes": got.LimitData,
			}
			return out, nil
		},
	}
}
