package integration

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestBadInput sends what no Pyro client sends, to a daemon and to the dispatcher in front of
// it: both answer with the same kind of message, and both close.
func TestBadInput(t *testing.T) {
	badMagic := header5(msgConnect, json5, 0, 0, 10, 0)
	badMagic[39]++
	badSum := header4(msgConnect, json4, 16, 0, 10, 0)
	badSum[23]++
	for _, lib := range []string{"pyro4", "pyro5"} {
		server := startDaemon(t, lib)
		d := startConfigured(t, fmt.Sprintf(`
admin: {address: ""}
listeners: [{name: main, address: "127.0.0.1:0", default_dialect: %s}]
routes: [{name: r, cluster: c}]
clusters: [{name: c, static: [%q]}]
`, lib, server.backend()))

		inputs := map[string][]byte{
			"a web browser": []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
			"zeros":         make([]byte, 64),
			"a part":        []byte("PYRO"),
			"nothing":       nil,
		}
		if lib == "pyro4" {
			inputs["bad checksum"] = badSum
			inputs["INVOKE first"] = append(header4(msgInvoke, json4, 0, 7, 2, 0), "{}"...)
			inputs["PING first"] = append(header4(msgPing, 42, 0, 7, 4, 0), "ping"...)
			inputs["unknown type"] = header4(99, json4, 0, 7, 0, 0)
			inputs["unknown object"] = connect4("no.such.object")
			inputs["after the handshake"] = append(connect4("lab.worker"), "garbage garbage garbage garbage garbage"...)
			inputs["CONNECT twice"] = append(connect4("lab.worker"), connect4("lab.worker")...)
		} else {
			inputs["bad magic"] = badMagic
			inputs["unknown version"] = []byte("PYRO\x03\xe7" + strings.Repeat("\x00", 34))
			inputs["INVOKE first"] = append(header5(msgInvoke, json5, 0, 7, 2, 0), "{}"...)
			inputs["PING first"] = append(header5(msgPing, 42, 0, 7, 4, 0), "ping"...)
			inputs["unknown type"] = header5(99, json5, 0, 7, 0, 0)
			inputs["too large"] = header5(msgConnect, json5, 0, 7, 1<<32-1, 0)
			inputs["annotations too large"] = header5(msgConnect, json5, 0, 7, 2, 1<<31)
			inputs["unknown object"] = connect5("no.such.object")
			inputs["after the handshake"] = append(connect5("lab.worker"), "garbage garbage garbage garbage garbage"...)
			inputs["CONNECT twice"] = append(connect5("lab.worker"), connect5("lab.worker")...)
		}
		for name, input := range inputs {
			t.Run(lib+"/"+name, func(t *testing.T) {
				want, got := answersTo(t, server.location, input), answersTo(t, d.location, input)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("answers of the daemon (-) and of the dispatcher (+):\n%s", diff)
				}
			})
		}
		// None of this harmed anyone.
		if got := connections(t, startRemote(t, lib), d.location, 3); got["daemon"] != 3 {
			t.Errorf("well-behaved %s clients afterwards: %v", lib, got)
		}
	}
}

// answersTo sends bytes and a FIN, and returns the types, sequence numbers and serializers of
// what comes back before the peer closes.
func answersTo(t *testing.T, location string, input []byte) []string {
	t.Helper()
	conn := dial(t, location)
	if _, err := conn.Write(input); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Logf("the peer was faster: %v", err)
	}
	var answers []string
	for data := readAll(t, conn); len(data) > 0; {
		h, err := parseHead(data)
		if err != nil {
			t.Fatalf("%s answered with %v", location, err)
		}
		answers = append(answers, fmt.Sprintf("version %d type %d seq %d serializer %d", h.Version, h.Type, h.Seq, h.Serializer))
		size := 24
		if h.Version == 502 {
			size = 40
		}
		size += int(h.Annotations) + int(h.Data)
		if size > len(data) {
			t.Fatalf("%s sent %d bytes of a message of %d", location, len(data), size)
		}
		data = data[size:]
	}
	return answers
}

// TestSilentClient connects and says nothing, which `nc host port | od -N 6` does: a daemon
// stays silent for ever, the dispatcher shows PYRO and a version when handshake_timeout passes.
func TestSilentClient(t *testing.T) {
	for lib, want := range map[string]head{
		"pyro4": {Version: 48, Type: msgConnectFail, Serializer: marshal4},
		"pyro5": {Version: 502, Type: msgConnectFail, Serializer: marshal5},
	} {
		t.Run(lib, func(t *testing.T) {
			server := startDaemon(t, lib)
			d := startConfigured(t, fmt.Sprintf(`
admin: {address: ""}
listeners: [{name: main, address: "127.0.0.1:0", handshake_timeout: 300ms, default_dialect: %s}]
routes: [{name: r, cluster: c}]
clusters: [{name: c, static: [%q]}]
`, lib, server.backend()))
			for name, input := range map[string]string{"nothing": "", "a part": "PYR", "a half header": "PYRO"} {
				conn := dial(t, d.location)
				if _, err := conn.Write([]byte(input)); err != nil {
					t.Fatal(err)
				}
				got, err := parseHead(readAll(t, conn))
				got.Data, got.Annotations = 0, 0
				if diff := cmp.Diff(want, got); err != nil || diff != "" {
					t.Errorf("after sending %s: %v, header (-want +got):\n%s", name, err, diff)
				}
			}
			// The timeout is one for the handshake: a client may be idle afterwards for longer.
			if lib == "pyro5" {
				idle := handshake5(t, d.location)
				silent := dial(t, d.location)
				readAll(t, silent) // as long as the timeout takes, begun after the handshake
				if _, err := idle.Write(append(header5(msgPing, 42, 0, 9, 4, 0), "ping"...)); err != nil {
					t.Fatal(err)
				}
				if h, err := readMessage5(idle); err != nil || h.Type != msgPing || h.Seq != 9 {
					t.Errorf("a PING after the handshake timeout was answered with %+v, %v", h, err)
				}
			}
		})
	}
}
