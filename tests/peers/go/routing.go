package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/ipfs/boxo/ipns"
	"github.com/ipfs/boxo/namesys"
	"github.com/ipfs/boxo/path"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
)

const (
	mostProviders = 20
	recordLife    = 48 * time.Hour
	recordTTL     = time.Minute
)

var errNoDHT = fmt.Errorf("no DHT: --dht off")

func (n *node) finder() routing.ContentDiscovery {
	if n.dht == nil {
		return nil
	}
	return n.dht
}

func (n *node) routes() map[string]command {
	return map[string]command{
		// ["provide", CID]
		"provide": func(ctx context.Context, w words) (answer, error) {
			id, err := cid.Decode(w.text(0))
			if err != nil || n.dht == nil {
				return nil, or(err, errNoDHT)
			}
			return answer{}, n.dht.Provide(ctx, id, true)
		},
		// ["findprovs", CID] -> providers: id and addrs
		"findprovs": n.findProviders,
		// ["findpeer", PEER] -> addrs
		"findpeer": func(ctx context.Context, w words) (answer, error) {
			id, err := peer.Decode(w.text(0))
			if err != nil || n.dht == nil {
				return nil, or(err, errNoDHT)
			}
			found, err := n.dht.FindPeer(ctx, id)
			return answer{"addrs": texts(found.Addrs)}, err
		},
		// ["dht"] -> peers of the routing tables, and whether the WAN's serves
		"dht": func(context.Context, words) (answer, error) {
			if n.dht == nil {
				return nil, errNoDHT
			}
			wan, lan := ids(n.dht.WAN.RoutingTable().ListPeers()), ids(n.dht.LAN.RoutingTable().ListPeers())
			return answer{"wan": wan, "lan": lan, "server": n.dht.WAN.Mode()}, nil
		},
		// ["publish", CID, KEY NAME="self", SEQUENCE=0] -> name; by the DHT, and by pubsub if that is on
		"publish": n.publish,
		// ["resolve", NAME] -> value, sequence
		"resolve": n.resolve,
	}
}

func or(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func ids(peers []peer.ID) []string {
	out := []string{}
	for _, id := range peers {
		out = append(out, id.String())
	}
	return out
}

func (n *node) findProviders(ctx context.Context, w words) (answer, error) {
	id, err := cid.Decode(w.text(0))
	if err != nil || n.dht == nil {
		return nil, or(err, errNoDHT)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	providers := []answer{}
	for found := range n.dht.FindProvidersAsync(ctx, id, mostProviders) {
		providers = append(providers, answer{"id": found.ID.String(), "addrs": texts(found.Addrs)})
	}
	return answer{"providers": providers}, nil
}

// What names are put to and got from: the DHT, and pubsub.
type nameStore struct {
	pubsub routing.ValueStore
	keys   map[string]crypto.PrivKey
}

func (n *node) nameKey(name string) (crypto.PrivKey, error) {
	if name == "" || name == "self" {
		return n.host.Peerstore().PrivKey(n.host.ID()), nil
	}
	if n.names.keys == nil {
		n.names.keys = map[string]crypto.PrivKey{}
	}
	if key, known := n.names.keys[name]; known {
		return key, nil
	}
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	n.names.keys[name] = key
	return key, err
}

func (n *node) publish(ctx context.Context, w words) (answer, error) {
	id, err := cid.Decode(w.text(0))
	if err != nil {
		return nil, err
	}
	key, err := n.nameKey(w.text(1))
	if err != nil {
		return nil, err
	}
	record, err := ipns.NewRecord(key, path.FromCid(id), uint64(w.number(2, 0)), time.Now().Add(recordLife), recordTTL)
	if err != nil {
		return nil, err
	}
	owner, err := peer.IDFromPublicKey(key.GetPublic())
	if err != nil {
		return nil, err
	}
	name := ipns.NameFromPeer(owner)
	if n.dht != nil {
		if err := namesys.PublishIPNSRecord(ctx, n.dht, key.GetPublic(), record); err != nil && n.names.pubsub == nil {
			return nil, err
		}
	}
	if n.names.pubsub != nil {
		if err := namesys.PutIPNSRecord(ctx, n.names.pubsub, name, record); err != nil {
			return nil, err
		}
	}
	return answer{"name": name.String()}, nil
}

func (n *node) resolve(ctx context.Context, w words) (answer, error) {
	name, err := ipns.NameFromString(w.text(0))
	if err != nil {
		return nil, err
	}
	var stores []routing.ValueStore
	if n.names.pubsub != nil {
		stores = append(stores, n.names.pubsub)
	}
	if n.dht != nil {
		stores = append(stores, n.dht)
	}
	err = errNoDHT
	for _, store := range stores {
		var data []byte
		if data, err = store.GetValue(ctx, string(name.RoutingKey())); err == nil {
			return recordAnswer(data)
		}
	}
	return nil, err
}

func recordAnswer(data []byte) (answer, error) {
	record, err := ipns.UnmarshalRecord(data)
	if err != nil {
		return nil, err
	}
	value, err := record.Value()
	if err != nil {
		return nil, err
	}
	sequence, err := record.Sequence()
	return answer{"value": value.String(), "sequence": sequence}, err
}
