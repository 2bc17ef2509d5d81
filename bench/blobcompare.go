//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/values"
)

// blobComparison holds the processes that last for all rounds.
type blobComparison struct {
	parameters
	scenarios []blobScenario
	names     []string // the contenders
	self      string   // this binary, for listeners and clients
	listeners *listenerProcess
	running   map[string]map[protocol]blobDispatcher
	python    string // versions, for the page
	log       io.Writer
}

// blobDispatcher is a contender at work.
type blobDispatcher struct {
	child  *child
	addr   string
	object string // its object id
}

// blobSample is one contender's turn in one scenario.
type blobSample struct {
	Round     int    `json:"round"`
	Contender string `json:"contender"`
	blobScenario
	BlobsPerSecond float64       `json:"blobs_per_second"`
	P50            time.Duration `json:"p50_ns"`
	P99            time.Duration `json:"p99_ns"`
	CPUPerBlob     time.Duration `json:"cpu_per_blob_ns"`
	Resident       int64         `json:"resident_bytes"` // of the dispatcher, after the turn
	OthersShare    float64       `json:"others_cpu_share"`
	Blobs          int           `json:"blobs"`
	Received       int           `json:"received"` // by all listeners, with the warming up
}

// listenerProcess is a process with all listeners.
type listenerProcess struct {
	*child
	addresses []string
	in        io.Writer
	out       *bufio.Reader
}

func startListeners(ctx context.Context, self string, procs int) (*listenerProcess, error) {
	cmd := exec.Command(self, "blob-listen", "-n", strconv.Itoa(mostListeners), "-procs", strconv.Itoa(procs))
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	l := &listenerProcess{in: in, out: bufio.NewReader(out)}
	if l.child, err = startChild(ctx, "the listeners", cmd); err != nil {
		return nil, err
	}
	if err := l.line(&l.addresses); err != nil {
		l.stop()
		return nil, err
	}
	return l, nil
}

func (l *listenerProcess) line(v any) error {
	line, err := l.out.ReadBytes('\n')
	if err != nil {
		return errors.Join(fmt.Errorf("asking the listeners: %w", err), l.failure())
	}
	return json.Unmarshal(line, v)
}

// ledgers returns what each listener got since it was asked last.
func (l *listenerProcess) ledgers() (all []blobLedger, err error) {
	if _, err := io.WriteString(l.in, "\n"); err != nil {
		return nil, fmt.Errorf("asking the listeners: %w", err)
	}
	return all, l.line(&all)
}

// register registers the listeners at a contender, with one topic for each number of them.
func (c *blobComparison) register(ctx context.Context, d blobDispatcher, p protocol) error {
	for i, address := range c.listeners.addresses {
		uri, err := values.ParseURI("PYRO:" + listenerObject(i) + "@" + address)
		if err != nil {
			return err
		}
		proxy := values.Proxy{URI: uri, Methods: []string{blobMethod}, Handshake: "hello"}
		for _, listeners := range []int{1, mostListeners} {
			if i >= listeners {
				continue
			}
			topic := blobScenario{Protocol: p, Listeners: listeners}.topic()
			if _, err := callOnce(ctx, d.addr, p, d.object, "register", topic, proxy); err != nil {
				return fmt.Errorf("registering a listener at %s: %w", d.child.name, err)
			}
		}
	}
	return nil
}

// blobTakesPart says whether a contender is measured in a scenario. Pyro's default type of server
// has a thread for each client. In it the threads of Pyro5's example take the listeners' proxies
// from each other, which have no lock: with several clients it fails. With the other type of
// server it has one thread, and one client makes no difference.
func blobTakesPart(contender string, s blobScenario) bool {
	switch contender {
	case blobThread:
		return s.Protocol == pyro4 || s.Clients == 1
	case blobMultiplex:
		return s.Clients > 1
	}
	return true
}

// run gives every contender its turns, those of a scenario directly after one another, and
// another contender first in each round.
func (c *blobComparison) run(ctx context.Context, all bool) ([]blobSample, error) {
	var samples []blobSample
	for round := range c.Rounds {
		for _, s := range c.scenarios {
			for i := range c.names {
				name := c.names[(i+round)%len(c.names)]
				if !all && !blobTakesPart(name, s) {
					continue
				}
				sample, err := c.turn(ctx, name, s)
				if err != nil {
					err = fmt.Errorf("%s, %s, %s: %w", name, s.Protocol, s, err)
					if all && errors.Is(err, errTurn) {
						fmt.Fprintln(c.log, err)
						continue
					}
					return nil, errors.Join(err, c.running[name][s.Protocol].child.failure())
				}
				sample.Round, sample.Contender, sample.blobScenario = round, name, s
				samples = append(samples, sample)
				fmt.Fprintf(c.log, "round %d of %d: %s, %-33s %-16s %s\n", round+1, c.Rounds, s.Protocol, s, name, sample.brief())
			}
		}
	}
	return samples, nil
}

func (s blobSample) brief() string {
	return fmt.Sprintf("%s blobs/s, p50 %s, p99 %s, CPU %s, %s", showCount(s.BlobsPerSecond), showTime(float64(s.P50)), showTime(float64(s.P99)),
		showTime(float64(s.CPUPerBlob)), showMiB(s.Resident))
}

// errTurn: a turn went wrong, as the clients or the listeners say.
var errTurn = errors.New("the turn does not count")

func (c *blobComparison) turn(ctx context.Context, name string, s blobScenario) (blobSample, error) {
	d := c.running[name][s.Protocol]
	ctx, cancel := context.WithTimeout(ctx, c.Warmup+c.Duration+3*stuck)
	defer cancel()
	machine, err := readMachineTime()
	if err != nil {
		return blobSample{}, err
	}
	before, err := c.cpuOf(d)
	if err != nil {
		return blobSample{}, err
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, c.self, "blob-load", "-procs", strconv.Itoa(c.Procs), "-addr", d.addr, "-object", d.object,
		"-protocol", strconv.Itoa(int(s.Protocol)), "-topic", s.topic(), "-clients", strconv.Itoa(s.Clients), "-size", strconv.Itoa(s.Size),
		"-warmup", c.Warmup.String(), "-duration", c.Duration.String(), "-watch", strconv.Itoa(d.child.pid()))
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	loadErr := cmd.Run()
	ledgers, err := c.listeners.ledgers()
	if err != nil {
		return blobSample{}, err
	}
	if loadErr != nil {
		return blobSample{}, fmt.Errorf("%w: bench blob-load: %w\n%s", errTurn, loadErr, &stderr)
	}
	var r blobResult
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		return blobSample{}, fmt.Errorf("reading the figures of bench blob-load: %w", err)
	}
	after, err := c.cpuOf(d)
	if err != nil {
		return blobSample{}, err
	}
	machineAfter, err := readMachineTime()
	if err != nil {
		return blobSample{}, err
	}
	received, err := onceEach(ledgers, s.Listeners, r.Sent)
	if err != nil {
		return blobSample{}, fmt.Errorf("%w: %w\n%s", errTurn, err, c.listeners.stderr.String())
	}
	resident, err := residentBytes(d.child.pid())
	return blobSample{
		BlobsPerSecond: r.CallsPerSecond, P50: r.P50, P99: r.P99, CPUPerBlob: r.CPU / time.Duration(r.Calls), Resident: resident,
		Blobs: r.Calls, Received: received,
		OthersShare: othersShare(machine, machineAfter, after-before+cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()),
	}, err
}

// onceEach says whether each of the first listeners got every blob exactly once, and the others
// none. A ledger has nothing wrong if each client's blobs came without gaps and in order; if as
// many came as were sent, none is missing at the end.
func onceEach(ledgers []blobLedger, listeners, sent int) (received int, err error) {
	for i, l := range ledgers {
		want := sent
		if i >= listeners {
			want = 0
		}
		received += l.Received
		if l.Received != want || l.Wrong > 0 {
			err = errors.Join(err, fmt.Errorf("listener %d got %d of %d blobs, and %d of them wrong: %s", i, l.Received, want, l.Wrong, l.First))
		}
	}
	return received, err
}

// cpuOf is the CPU time of the listeners and a dispatcher so far.
func (c *blobComparison) cpuOf(d blobDispatcher) (time.Duration, error) {
	listeners, err := cpuTime(c.listeners.pid())
	if err != nil {
		return 0, err
	}
	between, err := cpuTime(d.child.pid())
	return listeners + between, err
}
