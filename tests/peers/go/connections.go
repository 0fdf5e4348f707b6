package main

import (
	"context"
	"fmt"
	"sort"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	ma "github.com/multiformats/go-multiaddr"
)

const pollTime = 20 * time.Millisecond

func (n *node) connections() map[string]command {
	return map[string]command{
		// ["id"] -> addrs it announces, bound, protocols
		"id": func(context.Context, words) (answer, error) {
			addrs, _ := peer.AddrInfoToP2pAddrs(host.InfoFromHost(n.host))
			return answer{"addrs": texts(addrs), "bound": n.bound(), "protocols": n.host.Mux().Protocols()}, nil
		},
		// ["connect", MULTIADDR]; "dial" is the same
		"connect": n.connect,
		"dial":    n.connect,
		// ["disconnect", PEER]
		"disconnect": func(_ context.Context, w words) (answer, error) {
			id, err := peer.Decode(w.text(0))
			if err != nil {
				return nil, err
			}
			return answer{}, n.host.Network().ClosePeer(id)
		},
		// ["peers"]
		"peers": func(context.Context, words) (answer, error) {
			ids := []string{}
			for _, id := range n.host.Network().Peers() {
				ids = append(ids, id.String())
			}
			return answer{"peers": ids}, nil
		},
		// ["conns", PEER] -> each connection, the direct ones first
		"conns": n.conns,
		// ["ping", PEER, TIMES=1]
		"ping": n.ping,
		// ["identified", PEER] -> protocols, addrs, agent; waits for identify
		"identified": n.identified,
		// ["events", FROM=0] -> the events from that number on, and the number of the next
		"events": n.events.since,
		// ["wait-event", TYPE, SECONDS=30, FROM=0]
		"wait-event": n.events.wait,
		// ["reachability"] -> verdicts of AutoNAT v1 and v2
		"reachability": func(context.Context, words) (answer, error) { return n.events.reachability(), nil },
		// ["verified"] -> addresses that AutoNAT v2 found reachable
		"verified": func(context.Context, words) (answer, error) {
			return answer{"addrs": n.events.reachability()["reachable"]}, nil
		},
	}
}

func texts(addrs []ma.Multiaddr) []string {
	out := []string{}
	for _, addr := range addrs {
		out = append(out, addr.String())
	}
	return out
}

func (n *node) connect(ctx context.Context, w words) (answer, error) {
	info, err := peer.AddrInfoFromString(w.text(0))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(network.WithAllowLimitedConn(ctx, "test"), dialTime)
	defer cancel()
	if err := n.host.Connect(ctx, *info); err != nil {
		return nil, err
	}
	conns := n.host.Network().ConnsToPeer(info.ID)
	if len(conns) == 0 {
		return nil, fmt.Errorf("%s has closed the connection", info.ID)
	}
	out := described(conns[len(conns)-1])
	out["rc"], out["peer"] = 0, info.ID.String()
	return out, nil
}

func described(conn network.Conn) answer {
	state, stat := conn.ConnState(), conn.Stat()
	return answer{
		"addr": conn.RemoteMultiaddr().String(), "local": conn.LocalMultiaddr().String(),
		"direction": stat.Direction.String(), "limited": stat.Limited, "streams": len(conn.GetStreams()),
		"security": string(state.Security), "muxer": string(state.StreamMultiplexer), "transport": state.Transport,
		"early": state.UsedEarlyMuxerNegotiation,
	}
}

func (n *node) conns(_ context.Context, w words) (answer, error) {
	id, err := peer.Decode(w.text(0))
	if err != nil {
		return nil, err
	}
	conns := n.host.Network().ConnsToPeer(id)
	sort.SliceStable(conns, func(a, b int) bool { return !conns[a].Stat().Limited && conns[b].Stat().Limited })
	all := []answer{}
	for _, conn := range conns {
		all = append(all, described(conn))
	}
	return answer{"conns": all}, nil
}

func (n *node) ping(ctx context.Context, w words) (answer, error) {
	id, err := peer.Decode(w.text(0))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(network.WithAllowLimitedConn(ctx, "test"), dialTime)
	defer cancel()
	times, answers := []float64{}, ping.Ping(ctx, n.host, id)
	for range int(w.number(1, 1)) {
		result, more := <-answers
		if !more {
			return nil, fmt.Errorf("no answer")
		}
		if result.Error != nil {
			return nil, result.Error
		}
		times = append(times, float64(result.RTT)/float64(time.Millisecond))
	}
	return answer{"milliseconds": times}, nil
}

func (n *node) identified(ctx context.Context, w words) (answer, error) {
	id, err := peer.Decode(w.text(0))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	for {
		agent, err := n.host.Peerstore().Get(id, "AgentVersion")
		if err == nil {
			protocols, err := n.host.Peerstore().GetProtocols(id)
			addrs := texts(n.host.Peerstore().Addrs(id))
			return answer{"agent": agent, "protocols": protocols, "addrs": addrs, "signed": n.events.signed(id)}, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pollTime):
		}
	}
}
