// Package storetest is a Consul in memory, as far as package store asks one, for tests.
package storetest

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

// Consul is the KV of a Consul in memory, which is its own transport: so its time is
// that of a test's bubble. It may be used concurrently. What it does follows Consul's agent/kvs_endpoint.go,
// agent/txn_endpoint.go and agent/consul/state/kvs.go.
type Consul struct {
	mu       sync.Mutex
	index    uint64
	changed  chan struct{}
	pairs    map[string]*api.KVPair
	requests []*http.Request
	// script answers in place of the KV, where it is not nil.
	script http.HandlerFunc
}

// NewConsul makes an empty one.
func NewConsul() *Consul {
	return &Consul{index: 10, changed: make(chan struct{}), pairs: make(map[string]*api.KVPair)}
}

// KV makes a client of it.
func (f *Consul) KV(t testing.TB) *api.KV {
	t.Helper()
	client, err := api.NewClient(&api.Config{Address: "127.0.0.1:8500", HttpClient: &http.Client{Transport: f}})
	if err != nil {
		t.Fatal(err)
	}
	return client.KV()
}

var errBrokenPipe = errors.New("the connection was broken")

// Broken is a script that breaks the connection.
func Broken(http.ResponseWriter, *http.Request) { panic(errBrokenPipe) }

// RoundTrip runs the handler, and gives up when the request's context ends.
func (f *Consul) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.requests = append(f.requests, r)
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

// Answer sets the script; nil is the KV again.
func (f *Consul) Answer(script http.HandlerFunc) {
	f.mu.Lock()
	f.script = script
	f.mu.Unlock()
}

// Restart empties the KV and sets the index back, as a Consul without its data does.
func (f *Consul) Restart(index uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.index = index
	clear(f.pairs)
}

// Keys are those that are there, in order.
func (f *Consul) Keys() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var keys []string
	for key := range f.pairs {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// Requests are those that came so far. They must not be changed.
func (f *Consul) Requests() []*http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests[:len(f.requests):len(f.requests)]
}

// Set sets a key as it is, without a transaction.
func (f *Consul) Set(key, value string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bump()
	f.pairs[key] = &api.KVPair{Key: key, Value: []byte(value), ModifyIndex: f.index}
}

func (f *Consul) serve(w http.ResponseWriter, r *http.Request) {
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
			Reply(w, false)
			return
		}
		if have != nil {
			delete(f.pairs, key)
			f.bump()
		}
		Reply(w, true)
	default:
		http.Error(w, "method", http.StatusMethodNotAllowed)
	}
}

func (f *Consul) bump() {
	f.index++
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *Consul) get(w http.ResponseWriter, r *http.Request, key string, q url.Values) {
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
	Led(w, f.index)
	if len(found) == 0 {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	Reply(w, found)
}

func (f *Consul) txn(w http.ResponseWriter, r *http.Request) {
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
		Reply(w, map[string]any{"Errors": api.TxnErrors{{What: "failed to set key \"" + o.Key + "\", index is stale"}}})
		return
	}
	if have == nil || string(have.Value) != string(o.Value) {
		f.bump()
		have = &api.KVPair{Key: o.Key, Value: o.Value, ModifyIndex: f.index}
		f.pairs[o.Key] = have
	}
	Led(w, f.index)
	Reply(w, map[string]any{"Results": []any{map[string]any{"KV": api.KVPair{Key: o.Key, ModifyIndex: have.ModifyIndex}}}})
}

// Led writes the headers of an answer with a leader behind it.
func Led(w http.ResponseWriter, index uint64) {
	h := w.Header()
	h.Set("X-Consul-Index", strconv.FormatUint(index, 10))
	h.Set("X-Consul-KnownLeader", "true")
	h.Set("X-Consul-LastContact", "0")
}

// Reply writes v as JSON.
func Reply(w http.ResponseWriter, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(err)
	}
}
