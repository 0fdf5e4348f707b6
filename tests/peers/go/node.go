package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/ipfs/boxo/bitswap"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipns"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p-kad-dht/dual"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/pnet"
	"github.com/libp2p/go-libp2p/p2p/host/autorelay"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	libp2pwebrtc "github.com/libp2p/go-libp2p/p2p/transport/webrtc"
	"github.com/libp2p/go-libp2p/p2p/transport/websocket"
	webtransport "github.com/libp2p/go-libp2p/p2p/transport/webtransport"
	ma "github.com/multiformats/go-multiaddr"
)

type node struct {
	host   host.Host
	dht    *dual.DHT
	store  blockstore.Blockstore
	blocks blockservice.BlockService
	dag    ipld.DAGService
	events *events
	pubsub *pubsub.PubSub
	subs   map[string]*subscription
	names  nameStore
}

func start(ctx context.Context) (*node, error) {
	n := &node{events: newEvents(), subs: map[string]*subscription{}}
	options, err := n.hostOptions()
	if err != nil {
		return nil, err
	}
	if n.host, err = libp2p.New(options...); err != nil {
		return nil, err
	}
	if err := n.events.follow(n.host); err != nil {
		return nil, err
	}
	n.serveFlows()
	if err := n.startRouting(ctx); err != nil {
		return nil, err
	}
	n.store = blockstore.NewBlockstore(dssync.MutexWrap(datastore.NewMapDatastore()))
	exchange := bitswap.New(ctx, bsnet.NewFromIpfsHost(n.host), n.finder(), n.store)
	n.blocks = blockservice.New(n.store, exchange)
	n.dag = merkledag.NewDAGService(n.blocks)
	return n, n.startPubsub(ctx)
}

func (n *node) startRouting(ctx context.Context) error {
	modes := map[string]dht.ModeOpt{"auto": dht.ModeAuto, "server": dht.ModeServer, "client": dht.ModeClient}
	mode, known := modes[opts.dht]
	if !known {
		if opts.dht == "off" {
			return nil
		}
		return fmt.Errorf("--dht %s", opts.dht)
	}
	validator := record.NamespacedValidator{
		"pk": record.PublicKeyValidator{}, "ipns": ipns.Validator{KeyBook: n.host.Peerstore()},
	}
	lan := dht.ModeServer
	if mode == dht.ModeClient {
		lan = mode
	}
	var err error
	n.dht, err = dual.New(n.host,
		dual.DHTOption(dht.Validator(validator)),
		dual.WanDHTOption(dht.Mode(mode)),
		// the default leaves loopback addresses out, where the tests are
		dual.LanDHTOption(dht.Mode(lan), dht.AddressFilter(nil)),
	)
	if err != nil {
		return err
	}
	return n.dht.Bootstrap(ctx)
}

func (n *node) hostOptions() ([]libp2p.Option, error) {
	key, err := identity()
	if err != nil {
		return nil, err
	}
	options := []libp2p.Option{
		libp2p.Identity(key), libp2p.ListenAddrStrings(opts.listen...), libp2p.UserAgent(opts.agent),
		libp2p.DisableMetrics(),
	}
	switch opts.security {
	case "noise":
		options = append(options, libp2p.Security(noise.ID, noise.New))
	case "tls":
		options = append(options, libp2p.Security(libp2ptls.ID, libp2ptls.New))
	case "":
	default:
		return nil, fmt.Errorf("--security %s", opts.security)
	}
	transports, err := transports()
	if err != nil {
		return nil, err
	}
	options = append(options, transports...)
	if !opts.limits {
		options = append(options, libp2p.ResourceManager(&network.NullResourceManager{}))
	}
	if opts.shareTCP {
		options = append(options, libp2p.ShareTCPListener())
	}
	if opts.autonat == "both" {
		options = append(options, libp2p.EnableNATService(), libp2p.EnableAutoNATv2(),
			libp2p.AutoNATServiceRateLimit(0, 0, time.Minute))
	}
	switch opts.reach {
	case "public":
		options = append(options, libp2p.ForceReachabilityPublic())
	case "private":
		options = append(options, libp2p.ForceReachabilityPrivate())
	}
	reaching, err := n.reachingOptions()
	return append(options, reaching...), err
}

// Relays and hole punching.
func (n *node) reachingOptions() ([]libp2p.Option, error) {
	options := []libp2p.Option{}
	if opts.relay != "off" {
		service, err := relayService(opts.relay)
		if err != nil {
			return nil, err
		}
		options = append(options, libp2p.EnableRelayService(service...))
	}
	if len(opts.autorelay) > 0 {
		relays := []peer.AddrInfo{}
		for _, text := range opts.autorelay {
			info, err := peer.AddrInfoFromString(text)
			if err != nil {
				return nil, err
			}
			relays = append(relays, *info)
		}
		options = append(options, libp2p.EnableAutoRelayWithStaticRelays(relays, autorelay.WithBootDelay(0)))
	}
	if opts.punch {
		options = append(options, libp2p.EnableHolePunching(holepunch.WithTracer(n.events)))
	}
	return options, nil
}

func transports() ([]libp2p.Option, error) {
	client := &tls.Config{}
	for _, name := range opts.ca {
		pem, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if client.RootCAs == nil {
			client.RootCAs = x509.NewCertPool()
		}
		if !client.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("no certificate in %s", name)
		}
	}
	ws := []any{websocket.WithTLSClientConfig(client)}
	if opts.cert != "" {
		pair, err := tls.LoadX509KeyPair(opts.cert, opts.key)
		if err != nil {
			return nil, err
		}
		ws = append(ws, websocket.WithTLSConfig(&tls.Config{Certificates: []tls.Certificate{pair}}))
	}
	options := []libp2p.Option{
		libp2p.Transport(tcp.NewTCPTransport), libp2p.Transport(websocket.New, ws...),
	}
	if opts.swarmKey != "" {
		file := "/key/swarm/psk/1.0.0/\n/base16/\n" + opts.swarmKey
		psk, err := pnet.DecodeV1PSK(bytes.NewReader([]byte(file)))
		return append(options, libp2p.PrivateNetwork(psk)), err
	}
	return append(options, libp2p.Transport(quic.NewTransport), libp2p.Transport(webtransport.New),
		libp2p.Transport(libp2pwebrtc.New)), nil
}

func identity() (crypto.PrivKey, error) {
	kinds := map[string]int{
		"ed25519": crypto.Ed25519, "rsa": crypto.RSA, "ecdsa": crypto.ECDSA, "secp256k1": crypto.Secp256k1,
	}
	kind, known := kinds[opts.identity]
	if !known {
		return nil, fmt.Errorf("--identity %s", opts.identity)
	}
	key, _, err := crypto.GenerateKeyPairWithReader(kind, 2048, rand.Reader)
	return key, err
}

func relayService(limits string) ([]relay.Option, error) {
	resources := relay.DefaultResources()
	switch limits {
	case "default":
	case "infinite":
		resources.Limit = nil
	default:
		seconds, size, both := strings.Cut(limits, ":")
		duration, err1 := strconv.Atoi(seconds)
		data, err2 := strconv.ParseInt(size, 10, 64)
		if err := errors.Join(err1, err2); err != nil || !both {
			return nil, fmt.Errorf("--relay %s: SECONDS:BYTES is expected", limits)
		}
		resources.Limit = &relay.RelayLimit{Duration: time.Duration(duration) * time.Second, Data: data}
	}
	all := func(ma.Multiaddr) bool { return true } // the default names public addresses only
	return []relay.Option{relay.WithResources(resources), relay.WithReservationAddressFilter(all)}, nil
}

// Where it listens, with its peer id: as bound, whatever AutoNAT thinks of it; TCP, WebSocket, then what is over UDP.
func (n *node) bound() []string {
	all := n.host.Network().ListenAddresses()
	if resolved, err := n.host.Network().InterfaceListenAddresses(); err == nil {
		all = resolved
	}
	rank := map[string]int{}
	out := []string{}
	for _, addr := range all {
		if _, err := addr.ValueForProtocol(ma.P_CIRCUIT); err == nil {
			continue
		}
		text := fmt.Sprintf("%s/p2p/%s", addr, n.host.ID())
		if _, err := addr.ValueForProtocol(ma.P_UDP); err == nil {
			rank[text] += 100
		}
		rank[text] += len(addr)
		out = append(out, text)
	}
	sort.SliceStable(out, func(a, b int) bool { return rank[out[a]] < rank[out[b]] })
	return out
}

func (n *node) close() {
	if n.dht != nil {
		n.dht.Close()
	}
	n.host.Close()
}
