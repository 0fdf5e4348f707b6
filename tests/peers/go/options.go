package main

import (
	"flag"
	"strings"
	"time"
)

type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

var opts struct {
	listen, autorelay, ca        list
	security, swarmKey, identity string
	dht, autonat, relay, reach   string
	pubsub, agent, webrtc        string
	cert, key                    string
	punch, ipnsPubsub, shareTCP  bool
	limits, unlimitedTopics      bool
	transfer                     time.Duration
}

func parse() {
	flag.Var(&opts.listen, "listen", "multiaddr, repeatable; default: TCP, WebSocket and QUIC on 127.0.0.1")
	flag.Var(&opts.autorelay, "autorelay", "multiaddr with peer id of a relay to keep a reservation at, repeatable")
	flag.Var(&opts.ca, "ca", "PEM file that wss servers are trusted by, repeatable")
	flag.StringVar(&opts.security, "security", "", "noise or tls: only that one")
	flag.StringVar(&opts.swarmKey, "swarm-key", "", "hex: be in that private network")
	flag.StringVar(&opts.identity, "identity", "ed25519", "ed25519, rsa, ecdsa or secp256k1")
	flag.StringVar(&opts.dht, "dht", "auto", "auto, server, client or off; the LAN's takes loopback addresses")
	flag.StringVar(&opts.autonat, "autonat", "both", "both or off")
	flag.StringVar(&opts.relay, "relay", "off", "relay service: off, default, infinite, or SECONDS:BYTES a circuit")
	flag.StringVar(&opts.reach, "reachability", "", "public or private: what it believes of itself")
	flag.StringVar(&opts.pubsub, "pubsub", "off", "off, gossip or flood")
	flag.StringVar(&opts.agent, "agent", "cidery-test-go/go-libp2p-0.51.0", "agent version")
	flag.StringVar(&opts.cert, "cert", "", "PEM file: its WebSocket listeners of /tls/ws")
	flag.StringVar(&opts.key, "key", "", "PEM file of that certificate's key")
	flag.BoolVar(&opts.punch, "holepunch", false, "DCUtR, with its events")
	flag.BoolVar(&opts.ipnsPubsub, "ipns-pubsub", false, "names by pubsub too; turns pubsub on")
	flag.BoolVar(&opts.shareTCP, "share-tcp", false, "TCP and WebSocket on one port")
	flag.BoolVar(&opts.limits, "limits", false, "go-libp2p's default resource limits instead of none")
	flag.DurationVar(&opts.transfer, "transfer", 100*time.Second, "longest command")
	flag.Parse()
	if len(opts.listen) == 0 {
		opts.listen = list{"/ip4/127.0.0.1/tcp/0"}
		if opts.swarmKey == "" {
			opts.listen = append(opts.listen, "/ip4/127.0.0.1/tcp/0/ws", "/ip4/127.0.0.1/udp/0/quic-v1")
		}
	}
	if opts.ipnsPubsub && opts.pubsub == "off" {
		opts.pubsub = "gossip"
	}
}
