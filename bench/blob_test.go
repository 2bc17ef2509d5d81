//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/blob"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// startListener runs a listener in this process until the test ends. A complaint of it fails the test.
func startListener(t *testing.T) *blobListener {
	t.Helper()
	all, err := blobListeners(1)
	if err != nil {
		t.Fatal(err)
	}
	l := all[0]
	ctx, cancel := context.WithCancel(context.Background())
	var log lockedBuffer
	done := make(chan error, 1)
	go func() { done <- l.serve(ctx, &log) }()
	t.Cleanup(func() {
		cancel()
		l.ln.Close()
		if err := <-done; err != nil || log.String() != "" {
			t.Error(err, log.String())
		}
	})
	return l
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

// What clients send to a listener directly is what a dispatcher passes on.
func TestBlobSmoke(t *testing.T) {
	for _, p := range []protocol{pyro4, pyro5} {
		for _, size := range []int{1 << 10, 1 << 20} {
			t.Run(fmt.Sprintf("%s %d", p, size), func(t *testing.T) {
				l := startListener(t)
				r, err := runBlobs(t.Context(), blobSpec{
					Addr: l.ln.Addr().String(), Protocol: p, Object: l.object, Topic: "birds",
					Clients: 5, Size: size, Warmup: time.Millisecond, Duration: 10 * time.Millisecond, Watch: os.Getpid(),
				})
				if err != nil {
					t.Fatal(err)
				}
				if r.Calls < 5 || r.Sent < r.Calls+5 || r.P50 <= 0 || r.P99 < r.P50 || r.CallsPerSecond <= 0 {
					t.Errorf("figures make no sense: %+v", r)
				}
				if _, err := onceEach([]blobLedger{l.take(), {}}, 1, r.Sent); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// The bytes are what package wire takes them for.
func TestBlobCall(t *testing.T) {
	for _, p := range []protocol{pyro4, pyro5} {
		message, idAt, err := blobCall(p, "some.object", "birds", 1<<10)
		if err != nil {
			t.Fatal(err)
		}
		h, err := wire.ParseHead(message)
		if err != nil {
			t.Fatal(err)
		}
		if h.Dialect != p.dialect() || h.Type != wire.Invoke || !h.Has(wire.KeepSerialized) || h.DataLen != 1<<10 || int64(len(message)) != h.Len() {
			t.Errorf("%s: a message of %d bytes with %+v", p, len(message), h)
		}
		annotations := message[p.headSize() : p.headSize()+int(h.AnnotationsLen)]
		chunk, rest, err := wire.NextChunk(h.Dialect, annotations)
		if err != nil || len(rest) > 0 || string(chunk.ID[:]) != "BLBI" {
			t.Fatalf("%s: %+v and %q, %v", p, chunk, rest, err)
		}
		call, err := blob.Parse(chunk.Value)
		if err != nil || call.Object != "some.object" || call.Method != blobMethod {
			t.Errorf("%s: %+v, %v", p, call, err)
		}
		if !bytes.HasSuffix(message[:idAt], []byte(blobMark)) {
			t.Errorf("%s: the id is at %d, behind %q", p, idAt, message[idAt-10:idAt])
		}
		if _, _, err := blobCall(p, "some.object", "birds", 10); err == nil {
			t.Errorf("%s: a call of 10 bytes", p)
		}
	}
}

func TestBlobHead(t *testing.T) {
	for _, p := range []protocol{pyro4, pyro5} {
		want := blobHead{protocol: p, kind: msgResult, serializer: serializerSerpent, flags: 0x102, seq: 0xfffe, data: 1 << 20, anns: 300}
		b := make([]byte, p.headSize())
		want.put(b)
		if got, err := parseBlobHead(b); got != want || err != nil {
			t.Errorf("%s: got %+v, %v", p, got, err)
		}
		protected := map[protocol][]int{pyro4: {0, 3, 5, 7, 9, 11, 14, 15, 17, 18, 19, 22, 23}, pyro5: {0, 3, 5, 38, 39}}[p]
		for _, i := range protected {
			b[i] ^= 1
			if _, err := parseBlobHead(b); !errors.Is(err, errNotPyro) {
				t.Errorf("%s: a wrong byte %d: %v", p, i, err)
			}
			b[i] ^= 1
		}
	}
}

func TestLedger(t *testing.T) {
	type note struct {
		client int
		number uint32
	}
	for _, test := range []struct {
		name  string
		notes []note
		sent  int
		want  string // in the error
	}{
		{"all", []note{{0, 0}, {1, 0}, {0, 1}, {1, 1}}, 4, ""},
		{"one twice", []note{{0, 0}, {0, 0}}, 1, "blob 0 of client 0 instead of 1"},
		{"one twice, one lost", []note{{0, 0}, {0, 0}, {0, 2}}, 3, "2 of them wrong"},
		{"the last lost", []note{{0, 0}, {0, 1}}, 3, "2 of 3 blobs"},
		{"the first lost", []note{{0, 1}, {0, 2}}, 2, "blob 1 of client 0 instead of 0"},
		{"nobody's", []note{{0, 0}, {7, 0}}, 1, "2 of 1 blobs"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := &blobListener{}
			for _, n := range test.notes {
				l.note(n.client, n.number, "")
			}
			_, err := onceEach([]blobLedger{l.take(), {}}, 1, test.sent)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if taken := l.take(); taken.Received != 0 {
				t.Errorf("the next ledger begins with %+v", taken)
			}
		})
	}
	if _, err := onceEach([]blobLedger{{Received: 1}, {Received: 1}}, 1, 1); err == nil {
		t.Error("a blob at a listener of another topic was not noticed")
	}
}

// What is no blob of ours, for another object or without its annotation, is told.
func TestListenerComplains(t *testing.T) {
	good, idAt, err := blobCall(pyro5, listenerObject(0), "birds", 1<<10)
	if err != nil {
		t.Fatal(err)
	}
	h, err := parseBlobHead(good)
	if err != nil {
		t.Fatal(err)
	}
	copy(good[idAt:], "000000000000")
	annotations, data := good[headSize:headSize+h.anns], good[headSize+h.anns:]
	plain := h
	plain.flags = 0
	for _, test := range []struct {
		name              string
		head              blobHead
		annotations, data []byte
		wrong             int
	}{
		{"good", h, annotations, data, 0},
		{"no flag", plain, annotations, data, 1},
		{"no annotation", h, nil, data, 1},
		{"another object", h, bytes.ReplaceAll(annotations, []byte(listenerObject(0)), []byte(listenerObject(1))), data, 1},
		{"another payload", h, annotations, []byte("x"), 1},
		{"no number", h, annotations, bytes.Replace(data, []byte("000000000000"), []byte("00000000000z"), 1), 1},
	} {
		l := &blobListener{object: listenerObject(0)}
		l.noteCall(test.head, test.annotations, test.data)
		if got := l.take(); got.Wrong != test.wrong || got.Received != 1 {
			t.Errorf("%s: %+v", test.name, got)
		}
	}
}

// A blob that was not answered as it should be must not count.
func TestBlobLoadRefusesWrongAnswers(t *testing.T) {
	ok := string(serpentMessage(pyro5, msgConnectOK, 0, 0, "{'methods':('process_blob',)}"))
	call, _, err := blobCall(pyro5, "o", "t", 1<<10)
	if err != nil {
		t.Fatal(err)
	}
	hello := len(serpentHead) + len("{'handshake':'hello','object':'o'}")
	for _, test := range []struct{ name, handshake, answer, want string }{
		{"refused", string(serpentMessage(pyro5, msgConnectFail, 0, 0, "'no free workers'")), "", "no free workers"},
		{"no such method", string(serpentMessage(pyro5, msgConnectOK, 0, 0, "{'methods':()}")), "", "no method process_blob"},
		{"another dialect", string(serpentMessage(pyro4, msgConnectOK, 0, 0, "{'methods':('process_blob',)}")), "", "CONNECT was answered"},
		{"exception", ok, string(serpentMessage(pyro5, msgResult, flagException, 1, "None")), errBlobRefused.Error()},
		{"not None", ok, string(serpentMessage(pyro5, msgResult, 0, 1, "'None'")), errBlobRefused.Error()},
		{"wrong seq", ok, string(serpentMessage(pyro5, msgResult, 0, 2, "None")), "seq 1 was answered"},
		{"cut", ok, string(serpentMessage(pyro5, msgResult, 0, 1, "None"))[:headSize+3], "unexpected EOF"},
		{"closed", ok, "", "unexpected EOF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			addr := answerOnce(t, hello, test.handshake, len(call)-headSize, test.answer)
			_, err := runBlobs(t.Context(), blobSpec{Addr: addr, Protocol: pyro5, Object: "o", Topic: "t", Clients: 1, Size: 1 << 10})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestIncomingSplit(t *testing.T) {
	message, _, err := blobCall(pyro4, "o", "t", 600<<10) // larger than the buffer
	if err != nil {
		t.Fatal(err)
	}
	here, there := net.Pipe()
	defer here.Close()
	go func() {
		defer there.Close()
		for _, m := range [][]byte{message, message[:10], message[10:]} {
			there.Write(m)
		}
	}()
	in := newIncoming(here)
	for range 2 {
		h, annotations, data, err := in.head(100)
		if err != nil || h.data != 600<<10 || len(data) < 100 || !bytes.HasPrefix(annotations, []byte("BLBI")) {
			t.Fatalf("%+v, %d bytes, %v", h, len(data), err)
		}
		if err := in.drop(h); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, _, err := in.head(100); err == nil || in.have != 0 {
		t.Errorf("%d bytes after the end, %v", in.have, err)
	}
}
