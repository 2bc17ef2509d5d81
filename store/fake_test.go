package store

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// fakeConsul is the KV of a Consul in memory, which is its own transport: so its time
// is that of the bubble. What it does follows Consul's agent/kvs_endpoint.go,
// agent/txn_endpoint.go and agent/consul/state/kvs.go.
type fakeConsul struct {
	mu       sync.Mutex
	index    uint64
	changed  chan struct{}
	pairs    map[string]*api.KVPair
	requests []*http.Request
	at       []time.Time
	// script answers in place of the KV, where it is not nil.
	script http.HandlerFunc
}

func newFakeConsul() *fakeConsul {
	return &fakeConsul{index: 10, changed: make(chan struct{}), pairs: make(map[string]*api.KVPair)}
}

// store makes a client of the fake.
func (f *fakeConsul) store(t *testing.T, prefix string) *Consul {
	t.Helper()
	client, err := api.NewClient(&api.Config{Address: "127.0.0.1:8500", HttpClient: &http.Client{Transport: f}})
	if err != nil {
		t.Fatal(err)
	}
	return NewConsul(client.KV(), prefix, nil)
}

var errBrokenPipe = errors.New("the connection was broken")

func broken(http.ResponseWriter, *http.Request) { panic(errBrokenPipe) }

// RoundTrip runs the handler, and gives up when the request's context ends.
func (f *fakeConsul) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.requests = append(f.requests, r)
	f.at = append(f.at, time.Now())
	handler := f.script
	f.mu.Unlock()
	if handler == nil {
		handler = f.serve
	}
	defer func() {
		if p := recover(); p == errBrokenPipe {
			resp, err = nil, errBrokenPipe
		} else if p != nil {
			panic(p)
		}
	}()
	rec := httptest.NewRecorder()
	handler(rec, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return rec.Result(), nil
}

// answer sets the script; nil is the KV again.
func (f *fakeConsul) answer(script http.HandlerFunc) {
	f.mu.Lock()
	f.script = script
	f.mu.Unlock()
}

// restart empties the KV and sets the index back, as a Consul without its data does.
func (f *fakeConsul) restart(index uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.index = index
	clear(f.pairs)
}

func (f *fakeConsul) keys() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var keys []string
	for key := range f.pairs {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func (f *fakeConsul) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v1/txn" {
		f.txn(w, r)
		return
	}
	// The real one unescapes what the HTTP server has unescaped already, and does not
	// get to see what is not clean.
	key, err := url.PathUnescape(strings.TrimPrefix(r.URL.Path, "/v1/kv/"))
	if err != nil || strings.Contains(r.URL.Path, "//") || strings.Contains(r.URL.Path, "/.") {
		http.Error(w, "bad path", http.StatusBadRequest)
		return
	}
	q := r.URL.Query()
	switch r.Method {
	case http.MethodGet:
		f.get(w, r, key, q)
	case http.MethodDelete:
		f.mu.Lock()
		defer f.mu.Unlock()
		have := f.pairs[key]
		if cas := q.Get("cas"); cas != "" && have != nil && cas != strconv.FormatUint(have.ModifyIndex, 10) {
			reply(w, false)
			return
		}
		if have != nil {
			delete(f.pairs, key)
			f.bump()
		}
		reply(w, true)
	default:
		http.Error(w, "method", http.StatusMethodNotAllowed)
	}
}

func (f *fakeConsul) bump() {
	f.index++
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fakeConsul) get(w http.ResponseWriter, r *http.Request, key string, q url.Values) {
	asked, _ := strconv.ParseUint(q.Get("index"), 10, 64)
	wait, _ := time.ParseDuration(q.Get("wait"))
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	for asked > 0 && f.index <= asked {
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-changed:
		case <-timeout.C:
			asked = 0
		case <-r.Context().Done():
			asked = 0
		}
		f.mu.Lock()
	}
	found := []*api.KVPair{}
	for k, p := range f.pairs {
		if k == key || q.Has("recurse") && strings.HasPrefix(k, key) {
			found = append(found, p)
		}
	}
	ledBy(w, f.index)
	if len(found) == 0 {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	reply(w, found)
}

func (f *fakeConsul) txn(w http.ResponseWriter, r *http.Request) {
	var ops []struct{ KV api.KVTxnOp }
	if err := json.NewDecoder(r.Body).Decode(&ops); err != nil || len(ops) != 1 {
		http.Error(w, "cannot read it", http.StatusBadRequest)
		return
	}
	if r.ContentLength > 512<<10 {
		http.Error(w, "Request body(...) too large", http.StatusRequestEntityTooLarge)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	o := ops[0].KV
	have := f.pairs[o.Key]
	if o.Verb == api.KVCAS && (o.Index == 0) != (have == nil) || have != nil && o.Index != 0 && o.Index != have.ModifyIndex {
		w.WriteHeader(http.StatusConflict)
		reply(w, map[string]any{"Errors": api.TxnErrors{{What: "failed to set key \"" + o.Key + "\", index is stale"}}})
		return
	}
	if have == nil || string(have.Value) != string(o.Value) {
		f.bump()
		have = &api.KVPair{Key: o.Key, Value: o.Value, ModifyIndex: f.index}
		f.pairs[o.Key] = have
	}
	ledBy(w, f.index)
	reply(w, map[string]any{"Results": []any{map[string]any{"KV": api.KVPair{Key: o.Key, ModifyIndex: have.ModifyIndex}}}})
}

// ledBy writes the headers of an answer with a leader behind it.
func ledBy(w http.ResponseWriter, index uint64) {
	h := w.Header()
	h.Set("X-Consul-Index", strconv.FormatUint(index, 10))
	h.Set("X-Consul-KnownLeader", "true")
	h.Set("X-Consul-LastContact", "0")
}

func reply(w http.ResponseWriter, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(err)
	}
}
