package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// Streams of bytes, to measure a connection and to fill a relay. They run over limited connections too.
const (
	echo   protocol.ID = "/cidery-test/echo/1.0.0"   // sends back what comes, until the end
	sink   protocol.ID = "/cidery-test/sink/1.0.0"   // reads to the end, answers with the count: 8 bytes, big endian
	source protocol.ID = "/cidery-test/source/1.0.0" // reads a count of 8 bytes, sends so many
	piece              = 1 << 16
)

type zeros struct{}

func (zeros) Read(into []byte) (int, error) {
	clear(into)
	return len(into), nil
}

func (n *node) serveFlows() {
	n.host.SetStreamHandler(echo, func(s network.Stream) {
		end(s, copied(s, s))
	})
	n.host.SetStreamHandler(sink, func(s network.Stream) {
		count, err := io.CopyBuffer(io.Discard, only{s}, make([]byte, piece))
		if err == nil {
			err = binary.Write(s, binary.BigEndian, uint64(count))
		}
		end(s, err)
	})
	n.host.SetStreamHandler(source, func(s network.Stream) {
		var count uint64
		err := binary.Read(s, binary.BigEndian, &count)
		if err == nil {
			err = copied(s, io.LimitReader(zeros{}, int64(count)))
		}
		end(s, err)
	})
}

// A reader without its other methods, so that the buffer is used.
type only struct{ io.Reader }

type onlyWriter struct{ io.Writer }

func copied(to io.Writer, from io.Reader) error {
	_, err := io.CopyBuffer(onlyWriter{to}, only{from}, make([]byte, piece))
	return err
}

func end(s network.Stream, err error) {
	if err != nil {
		s.Reset()
		return
	}
	s.Close()
}

func (n *node) flows() map[string]command {
	return map[string]command{
		// ["echo", PEER, BYTES, SECONDS=60]: through the other side's echo, and back
		"echo": n.flow(echo, func(s network.Stream, count int64) error {
			sent := make(chan error, 1)
			go func() {
				err := copied(s, io.LimitReader(zeros{}, count))
				if err == nil {
					err = s.CloseWrite()
				}
				sent <- err
			}()
			err := expect(s, count)
			return or(err, <-sent)
		}),
		// ["send", PEER, BYTES, SECONDS=60] -> seconds until all is known to have arrived
		"send": n.flow(sink, func(s network.Stream, count int64) error {
			if err := copied(s, io.LimitReader(zeros{}, count)); err != nil {
				return err
			}
			if err := s.CloseWrite(); err != nil {
				return err
			}
			var got uint64
			if err := binary.Read(s, binary.BigEndian, &got); err != nil {
				return err
			}
			if got != uint64(count) {
				return fmt.Errorf("%d of %d bytes arrived", got, count)
			}
			return nil
		}),
		// ["receive", PEER, BYTES, SECONDS=60]
		"receive": n.flow(source, func(s network.Stream, count int64) error {
			if err := binary.Write(s, binary.BigEndian, uint64(count)); err != nil {
				return err
			}
			return expect(s, count)
		}),
	}
}

func expect(s network.Stream, count int64) error {
	got, err := io.CopyBuffer(io.Discard, only{s}, make([]byte, piece))
	if err == nil && got != count {
		err = fmt.Errorf("%d of %d bytes came", got, count)
	}
	return err
}

func (n *node) flow(id protocol.ID, do func(network.Stream, int64) error) command {
	return func(ctx context.Context, w words) (answer, error) {
		to, err := peer.Decode(w.text(0))
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(network.WithAllowLimitedConn(ctx, "test"), w.seconds(2, 60))
		defer cancel()
		s, err := n.host.NewStream(ctx, to, id)
		if err != nil {
			return nil, err
		}
		if deadline, set := ctx.Deadline(); set {
			if err := s.SetDeadline(deadline); err != nil {
				return nil, err
			}
		}
		began := time.Now()
		err = do(s, int64(w.number(1, 0)))
		end(s, err)
		seconds := time.Since(began).Seconds()
		return answer{"flowSeconds": seconds, "limited": s.Conn().Stat().Limited, "transport": s.Conn().ConnState().Transport}, err
	}
}
