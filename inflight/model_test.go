package inflight

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// The model plays processes that make calls through a graph, and knows who made
// which. It draws its decisions from bytes.

// style is what a model does.
type style struct {
	annotate, oneway, parallel, abandon, orphan, clientIDs, hosts, crowd bool
	graphs, room                                                         int
}

// exact: every true circle must be found, for certain.
func (s style) exact() bool {
	return s.hosts && !s.oneway && !s.parallel && !s.abandon && !s.orphan && !s.clientIDs && s.room > 100
}

type process struct {
	name     string
	endpoint netip.Addr // as the dispatcher knows it
	source   netip.Addr // as clients see it
}

// running is a method's run, or a program, with no parent and no call.
type running struct {
	call     *Call
	parent   *running
	at       *process
	id       [16]byte // what its calls carry; zero: programs that have none
	passes   []byte   // the annotation that its calls carry
	children int      // calls of it that it waits for
	waited   bool
	oneway   bool
	over     bool
}

type model struct {
	t         *testing.T
	style     style
	bytes     []byte
	graphs    []*Graph
	processes []*process
	programs  []*running
	live      []*running
	ids       byte
	circles   map[Kind]int
}

func (m *model) draw(n int) int {
	if len(m.bytes) == 0 || n == 0 {
		return 0
	}
	b := m.bytes[0]
	m.bytes = m.bytes[1:]
	return int(b) % n
}

func newModel(t *testing.T, s style, bytes []byte) *model {
	m := &model{t: t, style: s, bytes: bytes, circles: make(map[Kind]int)}
	for range s.graphs {
		m.graphs = append(m.graphs, New(s.room, netip.MustParseAddr("10.0.0.1")))
	}
	locals := []netip.Addr{{}, netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1"), netip.MustParseAddr("10.0.0.1")}
	for i := range 6 {
		p := &process{name: string(rune('A' + i))}
		p.endpoint = netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 2)})
		p.source = p.endpoint
		if !s.hosts {
			switch m.draw(4) {
			case 0:
				p.endpoint, p.source = locals[1+m.draw(3)], locals[m.draw(4)]
			case 1:
				p.endpoint = netip.Addr{}
			case 2:
				p.source = netip.AddrFrom4([4]byte{10, 0, 0, 3})
				p.endpoint = p.source
			}
		}
		m.processes = append(m.processes, p)
	}
	for i := range 3 {
		program := &running{at: &process{source: netip.AddrFrom4([4]byte{10, 0, 1, byte(i)})}}
		if !s.hosts && m.draw(2) == 0 {
			program.at.source = m.processes[m.draw(6)].source
		}
		if s.clientIDs && i > 0 {
			program.id = [16]byte{255, byte(i)}
		}
		m.programs = append(m.programs, program)
	}
	return m
}

func (m *model) step() {
	if what := m.draw(8); what < 5 || len(m.live) == 0 {
		m.start()
	} else {
		m.finish(m.live[m.draw(len(m.live))], what)
	}
}

// start makes a call from a program or a method.
func (m *model) start() {
	from := m.programs[m.draw(len(m.programs))]
	if n := len(m.live); n > 0 && m.draw(4) > 0 {
		from = m.live[n-1-m.draw(min(n, 8))]
	}
	if !m.style.parallel && from.parent != nil && from.children > 0 {
		return
	}
	if len(m.live) >= maxSlots && !m.style.crowd {
		return
	}
	to := m.processes[m.draw(len(m.processes))]
	g := m.graphs[m.draw(len(m.graphs))]
	o := Origin{Correlation: from.id, Source: from.at.source}
	if from.id == [16]byte{} {
		m.ids++
		o.Correlation, o.Made = [16]byte{m.ids, byte(len(m.bytes)), byte(len(m.bytes) >> 8)}, true
	}
	if from.passes != nil {
		var err error
		if o.Chain, err = ParseChain(from.passes); err != nil {
			m.t.Fatal(err)
		}
	}
	p := g.Look(o)
	circle, kind := p.Circle(Node{to.name, to.endpoint})
	m.judge(from, to, o, &p, circle, kind)
	if kind == Certain && m.draw(2) == 0 {
		return // rejected
	}
	call := g.Begin(o, p, Node{to.name, to.endpoint}, 0)
	run := &running{call: call, parent: from, at: to, id: o.Correlation, passes: from.passes}
	if run.oneway = m.style.oneway && m.draw(6) == 0; run.oneway {
		call.Detach()
	} else {
		from.children++
		run.waited = true
	}
	// A message with a chain gets a new one always.
	if from.passes != nil || m.style.annotate && (m.style.graphs > 1 || m.draw(2) == 0) {
		run.passes = call.Annotation()
	}
	m.live = append(m.live, run)
}

// judge compares what the graph says with the truth.
func (m *model) judge(from *running, to *process, o Origin, p *Parents, circle Circle, kind Kind) {
	nested, truth, again := from.call != nil, 0, false
	visited := make(map[*process]bool)
	for r := from; r.parent != nil; r = r.parent {
		again = again || visited[r.at] // a method, or the one that called it in a circle?
		visited[r.at] = true
	}
	for n, r := 1, from; r.parent != nil && !r.over && truth == 0; n, r = n+1, r.parent {
		if r.at == to {
			truth = n
		}
		if r.oneway {
			truth = 0
			break
		}
	}
	m.circles[kind]++
	at := fmt.Sprintf("call of %x from %s to %s, %d in flight: %v %v, truth %d", o.Correlation[:2], from.at.name, to.name, len(m.live), kind, circle, truth)
	switch {
	case kind == Certain && truth == 0:
		m.t.Fatalf("no circle: %s", at)
	case kind == None && truth > 0 && m.style.room > 100 && !m.style.crowd:
		m.t.Fatalf("missed: %s", at)
	case kind != Certain && truth > 0 && m.style.exact() && !again:
		m.t.Fatalf("not certain: %s", at)
	case p.Certain() && from.parent == nil:
		m.t.Fatalf("a root is nested: %s", at)
	case kind != None && (len(circle.Names) < 2 || circle.Names[len(circle.Names)-1] != to.name || circle.Correlation != o.Correlation):
		m.t.Fatalf("not the circle: %s", at)
	case m.style.exact() && nested && (!p.Certain() || p.Parent() != from.call):
		m.t.Fatalf("not the parent: %s", at)
	case m.style.exact() && truth > 0 && len(circle.Names) > truth+1:
		m.t.Fatalf("not the shortest: %s", at)
	}
	depth := 0
	for r := from; r.parent != nil; r = r.parent {
		depth++
	}
	if p.Depth() > depth {
		m.t.Fatalf("depth %d, of %d: %s", p.Depth(), depth, at)
	}
}

// finish ends a run, or what waits for it.
func (m *model) finish(r *running, what int) {
	if m.style.abandon && what == 5 && r.waited {
		r.call.Abandon()
		r.parent.children--
		r.waited = false
		return
	}
	if r.children > 0 && !m.style.orphan {
		return
	}
	r.call.End()
	r.over = true
	if r.waited {
		r.parent.children--
	}
	for i, live := range m.live {
		if live == r {
			m.live = append(m.live[:i], m.live[i+1:]...)
			break
		}
	}
}

func (m *model) run() {
	for len(m.bytes) > 0 {
		m.step()
	}
	for _, r := range m.live {
		r.call.End()
	}
	for _, g := range m.graphs {
		left := 0
		for i := range g.shards {
			for _, t := range g.shards[i].trees {
				if !t.empty() || t.loose.empty() {
					left++
				}
			}
			left += len(g.links[i].calls)
		}
		if g.Len() != 0 || left != 0 {
			m.t.Fatalf("%d calls, %d trees and links are left", g.Len(), left)
		}
	}
}

var styles = []style{
	{hosts: true, graphs: 1, room: 1000},
	{hosts: true, graphs: 1, room: 1000, annotate: true},
	{graphs: 1, room: 1000},
	{graphs: 1, room: 1000, clientIDs: true},
	{graphs: 1, room: 1000, clientIDs: true, parallel: true, abandon: true},
	{hosts: true, graphs: 1, room: 1000, clientIDs: true, parallel: true, abandon: true, oneway: true},
	{hosts: true, graphs: 1, room: 1000, parallel: true, abandon: true, orphan: true, oneway: true},
	{graphs: 1, room: 1000, clientIDs: true, parallel: true, abandon: true, orphan: true, oneway: true, annotate: true},
	{graphs: 2, room: 1000, clientIDs: true, parallel: true, oneway: true, annotate: true},
	{graphs: 1, room: 20, clientIDs: true, parallel: true, abandon: true, orphan: true, oneway: true, annotate: true},
	{hosts: true, graphs: 1, room: 1000, crowd: true, clientIDs: true, parallel: true, abandon: true, oneway: true, annotate: true},
	{graphs: 1, room: 1000, crowd: true, parallel: true, orphan: true},
	{hosts: true, graphs: 1, room: 5, clientIDs: true, parallel: true, oneway: true},
}

func TestModel(t *testing.T) {
	for i, s := range styles {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			circles := make(map[Kind]int)
			for seed := range uint64(200) {
				random := rand.New(rand.NewPCG(uint64(i), seed))
				bytes := make([]byte, 1500)
				for i := range bytes {
					bytes[i] = byte(random.Uint32())
				}
				m := newModel(t, s, bytes)
				m.run()
				for kind, n := range m.circles {
					circles[kind] += n
				}
			}
			if circles[Certain] == 0 || circles[None] == 0 || !s.exact() && !s.annotate && circles[Possible] == 0 {
				t.Errorf("the model shows nothing: %v", circles)
			}
			t.Log(circles)
		})
	}
}

func FuzzModel(f *testing.F) {
	for i := range styles {
		f.Add(uint8(i), []byte("0123456789 some calls, some ends, and so on: abcdefghijklmnopqrstuvwxyz"))
	}
	f.Fuzz(func(t *testing.T, style uint8, bytes []byte) {
		newModel(t, styles[int(style)%len(styles)], bytes).run()
	})
}
