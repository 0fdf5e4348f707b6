package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"sync"
	"time"

	"github.com/ipfs/boxo/ipns"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	psrouter "github.com/libp2p/go-libp2p-pubsub-router"
	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/peer"
)

type subscription struct {
	topic    *pubsub.Topic
	lock     sync.Mutex
	news     chan struct{}
	messages []answer
	cancel   func()
}

func (n *node) startPubsub(ctx context.Context) error {
	var err error
	switch opts.pubsub {
	case "off":
		return nil
	case "gossip":
		n.pubsub, err = pubsub.NewGossipSub(ctx, n.host, pubsub.WithFloodPublish(true))
	case "flood":
		n.pubsub, err = pubsub.NewFloodSub(ctx, n.host)
	default:
		err = fmt.Errorf("--pubsub %s", opts.pubsub)
	}
	if err != nil || !opts.ipnsPubsub {
		return err
	}
	validator := record.NamespacedValidator{"ipns": ipns.Validator{KeyBook: n.host.Peerstore()}}
	n.names.pubsub, err = psrouter.NewPubsubValueStore(ctx, n.host, n.pubsub, validator)
	return err
}

func (n *node) topics() map[string]command {
	return map[string]command{
		// ["subscribe", TOPIC], ["unsubscribe", TOPIC]
		"subscribe": n.subscribe,
		"unsubscribe": func(_ context.Context, w words) (answer, error) {
			one, err := n.subscribed(w.text(0))
			if err != nil {
				return nil, err
			}
			delete(n.subs, w.text(0))
			one.cancel()
			return answer{}, one.topic.Close()
		},
		// ["pub", TOPIC, BASE64]; to a topic that is not subscribed to it goes by fanout
		"pub": n.pub,
		// ["messages", TOPIC, FROM=0, SECONDS=0] -> messages from that number on, waiting that long for the first
		"messages": n.received,
		// ["topic-peers", TOPIC] -> peers of the topic, as they said
		"topic-peers": func(_ context.Context, w words) (answer, error) {
			if n.pubsub == nil {
				return nil, errNoPubsub
			}
			return answer{"peers": ids(n.pubsub.ListPeers(w.text(0)))}, nil
		},
		// ["topics"]
		"topics": func(context.Context, words) (answer, error) {
			if n.pubsub == nil {
				return nil, errNoPubsub
			}
			return answer{"topics": n.pubsub.GetTopics()}, nil
		},
	}
}

var errNoPubsub = fmt.Errorf("no pubsub: --pubsub gossip")

func (n *node) subscribed(topic string) (*subscription, error) {
	if one, known := n.subs[topic]; known {
		return one, nil
	}
	return nil, fmt.Errorf("not subscribed to %s", topic)
}

func (n *node) subscribe(_ context.Context, w words) (answer, error) {
	if n.pubsub == nil {
		return nil, errNoPubsub
	}
	name := w.text(0)
	if _, known := n.subs[name]; known {
		return answer{}, nil
	}
	topic, err := n.pubsub.Join(name)
	if err != nil {
		return nil, err
	}
	feed, err := topic.Subscribe()
	if err != nil {
		return nil, err
	}
	one := &subscription{topic: topic, news: make(chan struct{}), cancel: feed.Cancel}
	n.subs[name] = one
	go one.follow(feed)
	return answer{}, nil
}

func (s *subscription) follow(feed *pubsub.Subscription) {
	for {
		message, err := feed.Next(context.Background())
		if err != nil {
			return
		}
		s.lock.Lock()
		s.messages = append(s.messages, answer{
			"from": peer.ID(message.From).String(), "by": message.ReceivedFrom.String(),
			"data":  base64.StdEncoding.EncodeToString(message.Data),
			"seqno": base64.StdEncoding.EncodeToString(message.Seqno),
			"time":  float64(time.Now().UnixMicro()) / 1e6,
		})
		close(s.news)
		s.news = make(chan struct{})
		s.lock.Unlock()
	}
}

func (n *node) pub(ctx context.Context, w words) (answer, error) {
	if n.pubsub == nil {
		return nil, errNoPubsub
	}
	data, err := base64.StdEncoding.DecodeString(w.text(1))
	if err != nil {
		return nil, err
	}
	if one, known := n.subs[w.text(0)]; known {
		return answer{}, one.topic.Publish(ctx, data)
	}
	topic, err := n.pubsub.Join(w.text(0))
	if err != nil {
		return nil, err
	}
	defer topic.Close()
	return answer{}, topic.Publish(ctx, data)
}

func (n *node) received(_ context.Context, w words) (answer, error) {
	one, err := n.subscribed(w.text(0))
	if err != nil {
		return nil, err
	}
	deadline := time.After(w.seconds(2, 0))
	for {
		one.lock.Lock()
		news, total := one.news, len(one.messages)
		from := min(int(w.number(1, 0)), total)
		messages := append([]answer{}, one.messages[from:]...)
		one.lock.Unlock()
		if len(messages) > 0 {
			return answer{"messages": messages, "next": total}, nil
		}
		select {
		case <-news:
		case <-deadline:
			return answer{"messages": messages, "next": total}, nil
		}
	}
}
