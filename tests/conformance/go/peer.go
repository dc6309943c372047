// A bare go-libp2p peer. Usage and output: tests/conformance/README.md.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sort"
	"sync"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
)

const (
	echoProtocol = protocol.ID("/plexus/test-echo/1")
	perfProtocol = protocol.ID("/perf/1.0.0")
	block        = 64 * 1024
	smallMessage = 4096
	warmUpBytes  = 32 << 20
)

type line map[string]any

func print(fields line) {
	text, _ := json.Marshal(fields)
	os.Stdout.Write(append(text, '\n'))
}

func milliseconds(duration time.Duration) float64 { return float64(duration.Nanoseconds()) / 1e6 }

func cpuSeconds() float64 {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

func makeHost(listen ...string) (host.Host, error) {
	limits, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(rcmgr.InfiniteLimits))
	if err != nil {
		return nil, err
	}
	return libp2p.New(
		libp2p.ListenAddrStrings(listen...),
		libp2p.Transport(tcp.NewTCPTransport),
		libp2p.Security(noise.ID, noise.New),
		libp2p.Muxer(yamux.ID, yamux.DefaultTransport),
		libp2p.ResourceManager(limits),
		libp2p.UserAgent("go-libp2p"),
		libp2p.DisableRelay(),
	)
}

func serveEcho(stream network.Stream) {
	if _, err := io.CopyBuffer(struct{ io.Writer }{stream}, struct{ io.Reader }{stream}, make([]byte, block)); err != nil {
		stream.Reset()
		return
	}
	stream.Close()
}

func sendCount(stream network.Stream, count uint64) error {
	zeros := make([]byte, block)
	for count > 0 {
		part := min(count, block)
		if _, err := stream.Write(zeros[:part]); err != nil {
			return err
		}
		count -= part
	}
	return stream.CloseWrite()
}

func servePerf(stream network.Stream) {
	defer stream.Close()
	var head [8]byte
	if _, err := io.ReadFull(stream, head[:]); err != nil {
		stream.Reset()
		return
	}
	if _, err := countToEnd(stream); err == nil {
		sendCount(stream, binary.BigEndian.Uint64(head[:]))
	}
}

func countToEnd(stream network.Stream) (uint64, error) {
	buffer := make([]byte, 4*block)
	total := uint64(0)
	for {
		count, err := stream.Read(buffer)
		total += uint64(count)
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

type echoed struct {
	bytes          int64
	sent, received string
}

func exchange(ctx context.Context, node host.Host, to peer.ID, bytes int, seed uint64) (echoed, error) {
	stream, err := node.NewStream(ctx, to, echoProtocol)
	if err != nil {
		return echoed{}, err
	}
	defer stream.Close()
	sent, received := sha256.New(), sha256.New()
	sending := make(chan error, 1)
	go func() {
		part := make([]byte, block)
		state := seed
		for left := bytes; left > 0; left -= len(part) {
			for at := 0; at+8 <= len(part); at += 8 {
				state = state*6364136223846793005 + 1442695040888963407
				binary.LittleEndian.PutUint64(part[at:], state^state>>29)
			}
			part = part[:min(left, len(part))]
			sent.Write(part)
			if _, err := stream.Write(part); err != nil {
				sending <- err
				return
			}
		}
		sending <- stream.CloseWrite()
	}()
	count, err := io.Copy(received, stream)
	return echoed{count, hex.EncodeToString(sent.Sum(nil)), hex.EncodeToString(received.Sum(nil))}, errors.Join(err, <-sending)
}

type sizes struct{ pings, echoBytes, streams int }

func dial(ctx context.Context, node host.Host, to peer.AddrInfo, wanted sizes) error {
	identified, err := node.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted))
	if err != nil {
		return err
	}
	start := time.Now()
	if err := node.Connect(ctx, to); err != nil {
		return err
	}
	print(line{"step": "connect", "milliseconds": milliseconds(time.Since(start))})

	select {
	case found := <-identified.Out():
		identify := found.(event.EvtPeerIdentificationCompleted)
		print(line{"step": "identify", "agent": identify.AgentVersion, "protocols": identify.Protocols})
	case <-ctx.Done():
		return errors.New("no identify")
	}

	var times []float64
	pinging, stop := context.WithCancel(ctx)
	for answer := range ping.Ping(pinging, node, to.ID) {
		if answer.Error != nil {
			stop()
			return answer.Error
		}
		if times = append(times, milliseconds(answer.RTT)*1000); len(times) == wanted.pings {
			break
		}
	}
	stop()
	sort.Float64s(times)
	print(line{"step": "ping", "count": len(times), "median_microseconds": times[len(times)/2]})

	start = time.Now()
	echo, err := exchange(ctx, node, to.ID, wanted.echoBytes, 1)
	if err != nil {
		return err
	}
	print(line{"step": "echo", "bytes": echo.bytes, "sent": echo.sent, "received": echo.received, "seconds": time.Since(start).Seconds()})
	if echo.sent != echo.received {
		return errors.New("the echo differs")
	}
	return manyStreams(ctx, node, to.ID, wanted.streams)
}

func manyStreams(ctx context.Context, node host.Host, to peer.ID, streams int) error {
	var all sync.WaitGroup
	var lock sync.Mutex
	good := 0
	for number := range streams {
		all.Add(1)
		go func() {
			defer all.Done()
			answer, err := exchange(ctx, node, to, smallMessage, uint64(number))
			lock.Lock()
			defer lock.Unlock()
			if err != nil {
				print(line{"stream": number, "error": err.Error()})
			} else if answer.bytes == smallMessage && answer.sent == answer.received {
				good++
			}
		}()
	}
	all.Wait()
	print(line{"step": "streams", "count": streams, "good": good})
	if good != streams {
		return fmt.Errorf("%d of %d streams answered", good, streams)
	}
	return nil
}

// A peer that is no member: whatever it tries, not a byte of any protocol comes back.
func refused(ctx context.Context, node host.Host, to peer.AddrInfo) error {
	identified, err := node.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted))
	if err != nil {
		return err
	}
	connected := node.Connect(ctx, to) == nil
	protocols := 0
	short, stop := context.WithTimeout(ctx, 3*time.Second)
	defer stop()
	for _, name := range []protocol.ID{"/ipfs/id/1.0.0", "/ipfs/ping/1.0.0", "/plexus/pair/1", "/plexus/task/1", echoProtocol} {
		stream, err := node.NewStream(network.WithNoDial(short, "refused"), to.ID, name)
		if err != nil {
			continue
		}
		// Negotiation is lazy: only an answer counts.
		stream.CloseWrite()
		stream.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := stream.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
			protocols++
		}
	}
	time.Sleep(500 * time.Millisecond)
	got := len(identified.Out()) > 0
	open := len(node.Network().Conns())
	print(line{"step": "refused", "connected": connected, "open_connections": open, "identified": got, "protocols": protocols})
	if got || protocols > 0 || open > 0 {
		return errors.New("a stranger was served")
	}
	return nil
}

func perf(ctx context.Context, node host.Host, to peer.ID, upload, download uint64) error {
	stream, err := node.NewStream(ctx, to, perfProtocol)
	if err != nil {
		return err
	}
	defer stream.Close()
	var head [8]byte
	binary.BigEndian.PutUint64(head[:], download)
	if _, err := stream.Write(head[:]); err != nil {
		return err
	}
	if err := sendCount(stream, upload); err != nil {
		return err
	}
	count, err := countToEnd(stream)
	if err == nil && count != download {
		err = fmt.Errorf("%d bytes came, %d were asked for", count, download)
	}
	return err
}

func bulk(ctx context.Context, node host.Host, to peer.AddrInfo, upload, download uint64) error {
	if err := node.Connect(ctx, to); err != nil {
		return err
	}
	if err := perf(ctx, node, to.ID, warmUpBytes, warmUpBytes); err != nil {
		return err
	}
	print(line{"warm": true})
	for _, run := range []struct {
		direction        string
		upload, download uint64
	}{{"upload", upload, 0}, {"download", 0, download}} {
		if run.upload+run.download == 0 {
			continue
		}
		start, cpu := time.Now(), cpuSeconds()
		if err := perf(ctx, node, to.ID, run.upload, run.download); err != nil {
			return err
		}
		print(line{"direction": run.direction, "bytes": run.upload + run.download,
			"seconds": time.Since(start).Seconds(), "cpu_seconds": cpuSeconds() - cpu})
	}
	return nil
}

func firstByte(ctx context.Context, node host.Host, to peer.AddrInfo, count int) error {
	for range count {
		start := time.Now()
		if err := node.Connect(ctx, to); err != nil {
			return err
		}
		stream, err := node.NewStream(ctx, to.ID, echoProtocol)
		if err != nil {
			return err
		}
		if _, err := stream.Write(make([]byte, 1)); err != nil {
			return err
		}
		if _, err := io.ReadFull(stream, make([]byte, 1)); err != nil {
			return err
		}
		print(line{"first_byte_milliseconds": milliseconds(time.Since(start))})
		if err := node.Network().ClosePeer(to.ID); err != nil {
			return err
		}
		node.Peerstore().RemovePeer(to.ID) // what identify told would save a round trip
	}
	return nil
}

type finder struct{}

func (finder) HandlePeerFound(info peer.AddrInfo) {
	addresses := []string{}
	for _, address := range info.Addrs {
		addresses = append(addresses, address.String())
	}
	print(line{"found": info.ID.String(), "addresses": addresses})
}

func listen(address string, find bool) error {
	node, err := makeHost(address)
	if err != nil {
		return err
	}
	node.SetStreamHandler(echoProtocol, serveEcho)
	node.SetStreamHandler(perfProtocol, servePerf)
	print(line{"listening": fmt.Sprintf("%s/p2p/%s", node.Addrs()[0], node.ID())})
	if find {
		if err := mdns.NewMdnsService(node, "", finder{}).Start(); err != nil {
			return err
		}
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	<-ended
	return node.Close()
}

func run() error {
	if len(os.Args) < 2 {
		return errors.New("listen, find, dial, bulk or first-byte?")
	}
	address, rest := "/ip4/127.0.0.1/tcp/0", os.Args[2:]
	if len(rest) > 0 {
		address, rest = rest[0], rest[1:]
	}
	if os.Args[1] == "listen" || os.Args[1] == "find" {
		return listen(address, os.Args[1] == "find")
	}
	flags := flag.NewFlagSet("peer", flag.ContinueOnError)
	pings := flags.Int("pings", 100, "")
	echoBytes := flags.Int("echo-bytes", 64<<20, "")
	streams := flags.Int("streams", 200, "")
	expectRefused := flags.Bool("expect-refused", false, "")
	upload := flags.Uint64("upload", 0, "")
	download := flags.Uint64("download", 0, "")
	count := flags.Int("count", 1, "")
	if err := flags.Parse(rest); err != nil {
		return err
	}
	to, err := peer.AddrInfoFromString(address)
	if err != nil {
		return err
	}
	node, err := makeHost()
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Minute)
	defer stop()
	switch {
	case os.Args[1] == "bulk":
		return bulk(ctx, node, *to, *upload, *download)
	case os.Args[1] == "first-byte":
		return firstByte(ctx, node, *to, *count)
	case *expectRefused:
		return refused(ctx, node, *to)
	default:
		return dial(ctx, node, *to, sizes{*pings, *echoBytes, *streams})
	}
}

func main() {
	if err := run(); err != nil {
		print(line{"error": err.Error()})
		os.Exit(1)
	}
}
