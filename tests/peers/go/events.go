package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
)

// What happened, in order; also the tracer of hole punching.
type events struct {
	lock    sync.Mutex
	news    chan struct{}
	list    []answer
	verdict answer
	records map[peer.ID]bool
}

func newEvents() *events {
	verdict := answer{"v1": "Unknown", "reachable": []string{}, "unreachable": []string{}, "unknown": []string{}}
	return &events{news: make(chan struct{}), verdict: verdict, records: map[peer.ID]bool{}}
}

func (e *events) add(kind string, values answer) {
	e.lock.Lock()
	defer e.lock.Unlock()
	values["type"], values["time"] = kind, float64(time.Now().UnixMicro())/1e6
	e.list = append(e.list, values)
	close(e.news)
	e.news = make(chan struct{})
}

// Trace takes the events of hole punching.
func (e *events) Trace(one *holepunch.Event) {
	e.add(one.Type, answer{"peer": one.Remote.String(), "details": one.Evt})
}

func (e *events) follow(h host.Host) error {
	subscription, err := h.EventBus().Subscribe([]any{
		new(event.EvtLocalReachabilityChanged), new(event.EvtHostReachableAddrsChanged),
		new(event.EvtAutoRelayAddrsUpdated), new(event.EvtLocalAddressesUpdated),
		new(event.EvtPeerConnectednessChanged), new(event.EvtPeerIdentificationCompleted),
	})
	if err != nil {
		return err
	}
	go func() {
		for one := range subscription.Out() {
			e.take(one)
		}
	}()
	return nil
}

func (e *events) take(one any) {
	switch what := one.(type) {
	case event.EvtLocalReachabilityChanged:
		e.judged(answer{"v1": what.Reachability.String()})
		e.add("Reachability", answer{"v1": what.Reachability.String()})
	case event.EvtHostReachableAddrsChanged:
		found := answer{
			"reachable": texts(what.Reachable), "unreachable": texts(what.Unreachable), "unknown": texts(what.Unknown),
		}
		e.judged(found)
		e.add("ReachableAddrs", found)
	case event.EvtAutoRelayAddrsUpdated:
		e.judged(answer{"relay": texts(what.RelayAddrs)})
		e.add("RelayAddrs", answer{"addrs": texts(what.RelayAddrs)})
	case event.EvtLocalAddressesUpdated:
		addrs := []string{}
		for _, addr := range what.Current {
			addrs = append(addrs, addr.Address.String())
		}
		e.add("Addresses", answer{"addrs": addrs})
	case event.EvtPeerConnectednessChanged:
		e.add("Connectedness", answer{"peer": what.Peer.String(), "now": what.Connectedness.String()})
	case event.EvtPeerIdentificationCompleted:
		e.lock.Lock()
		e.records[what.Peer] = what.SignedPeerRecord != nil
		e.lock.Unlock()
		seen := ""
		if what.ObservedAddr != nil {
			seen = what.ObservedAddr.String()
		}
		e.add("Identified", answer{
			"peer": what.Peer.String(), "addrs": texts(what.ListenAddrs), "protocols": what.Protocols,
			"agent": what.AgentVersion, "observed": seen, "signed": what.SignedPeerRecord != nil,
		})
	}
}

func (e *events) judged(values answer) {
	e.lock.Lock()
	defer e.lock.Unlock()
	for key, value := range values {
		e.verdict[key] = value
	}
}

func (e *events) reachability() answer {
	e.lock.Lock()
	defer e.lock.Unlock()
	out := answer{}
	for key, value := range e.verdict {
		out[key] = value
	}
	return out
}

func (e *events) signed(id peer.ID) bool {
	e.lock.Lock()
	defer e.lock.Unlock()
	return e.records[id]
}

// ["events", FROM=0] -> the events from that number on, and the number of the next
func (e *events) since(_ context.Context, w words) (answer, error) {
	e.lock.Lock()
	defer e.lock.Unlock()
	from := min(int(w.number(0, 0)), len(e.list))
	return answer{"events": append([]answer{}, e.list[from:]...), "next": len(e.list)}, nil
}

// ["wait-event", TYPE, SECONDS=30, FROM=0] -> the first event of this type from that number on
func (e *events) wait(_ context.Context, w words) (answer, error) {
	deadline := time.After(w.seconds(1, 30))
	at := int(w.number(2, 0))
	for {
		e.lock.Lock()
		news := e.news
		for ; at < len(e.list); at++ {
			if e.list[at]["type"] == w.text(0) {
				found := answer{"event": e.list[at], "next": at + 1}
				e.lock.Unlock()
				return found, nil
			}
		}
		e.lock.Unlock()
		select {
		case <-news:
		case <-deadline:
			return nil, fmt.Errorf("no event %s", w.text(0))
		}
	}
}
