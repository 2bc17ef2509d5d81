package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
	"go.uber.org/zap"
)

const (
	// defaultWait is how long Consul may keep a query that has no news. It bounds for
	// how long a Consul that hangs goes unnoticed.
	defaultWait = time.Minute
	// slack is what a request may take beside the time it is kept.
	slack = 10 * time.Second
)

// Consul is a Store in Consul's KV, below a prefix. Versions are Consul's ModifyIndex.
// All and Get ask in the mode "consistent": they see every change whose Put has
// returned, wherever that was.
type Consul struct {
	kv     *api.KV
	prefix string // ends in a slash
	wait   time.Duration
	log    *zap.Logger
}

// NewConsul makes a Consul, and asks nothing yet. The prefix is that of the keys in
// Consul; two stores must not have prefixes of which one begins with the other and a
// slash. The log may be nil.
func NewConsul(kv *api.KV, prefix string, log *zap.Logger) *Consul {
	prefix = strings.Trim(prefix, "/")
	if prefix != "" {
		prefix += "/"
	}
	return &Consul{kv: kv, prefix: prefix, wait: defaultWait, log: cmp.Or(log, zap.NewNop())}
}

// All is Store's.
func (c *Consul) All(ctx context.Context) (map[string]Entry, error) {
	all, _, err := c.list(ctx, api.QueryOptions{RequireConsistent: true})
	return all, err
}

// list asks for everything; with q.WaitIndex, once Consul's index exceeds that.
func (c *Consul) list(ctx context.Context, q api.QueryOptions) (map[string]Entry, uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, q.WaitTime+q.WaitTime/16+slack)
	defer cancel()
	pairs, meta, err := c.kv.List(c.prefix, q.WithContext(ctx))
	if err == nil {
		err = credible(meta, pairs...)
	}
	if err != nil {
		return nil, 0, unavailable("asking for everything", err)
	}
	all := make(map[string]Entry, len(pairs))
	for _, p := range pairs {
		rest, ok := strings.CutPrefix(p.Key, c.prefix)
		if !ok {
			continue
		}
		key, ok := unescape(rest)
		if !ok { // also the "folder" that Consul's UI may have made
			c.log.Debug("a key in Consul is not ours", zap.String("key", p.Key))
			continue
		}
		all[key] = entryOf(p)
	}
	return all, meta.LastIndex, nil
}

// Get is Store's.
func (c *Consul) Get(ctx context.Context, key string) (Entry, error) {
	ctx, cancel := context.WithTimeout(ctx, slack)
	defer cancel()
	q := api.QueryOptions{RequireConsistent: true}
	pair, meta, err := c.kv.Get(c.prefix+escape(key), q.WithContext(ctx))
	if err == nil && pair == nil {
		err = credible(meta)
	}
	if err != nil {
		return Entry{}, unavailable("asking for a key", err)
	}
	if pair == nil {
		return Entry{}, nil
	}
	return entryOf(pair), nil
}

func entryOf(p *api.KVPair) Entry {
	if p.Value == nil { // null in JSON is an empty value
		p.Value = []byte{}
	}
	return Entry{Value: p.Value, Version: p.ModifyIndex}
}

// credible says why an answer says nothing. One without keys is no more than a 404,
// which may come from whatever is at that address, from a server that knows of no
// leader, or to a token that must not see any.
func credible(meta *api.QueryMeta, pairs ...*api.KVPair) error {
	for _, p := range pairs {
		if p == nil || p.ModifyIndex == 0 {
			return errors.New("the answer makes no sense")
		}
	}
	switch {
	case meta.ResultsFilteredByACLs:
		return errors.New("the ACL token may not see all keys")
	case len(pairs) > 0:
	case meta.LastIndex == 0:
		return errors.New("the answer is not Consul's")
	case !meta.KnownLeader:
		return errors.New("nothing, says a Consul server that knows of no leader")
	}
	return nil
}

// Put is Store's.
func (c *Consul) Put(ctx context.Context, key string, value []byte, expect uint64) (uint64, error) {
	if err := fits(key, value); err != nil {
		return 0, err
	}
	o := &api.KVTxnOp{Verb: api.KVCAS, Key: c.prefix + escape(key), Value: value, Index: expect}
	if expect == Any {
		o.Verb, o.Index = api.KVSet, 0
	}
	ctx, cancel := context.WithTimeout(ctx, slack)
	defer cancel()
	// A transaction, since it tells the new ModifyIndex, which a plain PUT does not.
	var q api.QueryOptions
	done, answer, _, err := c.kv.Txn(api.KVTxnOps{o}, q.WithContext(ctx))
	switch {
	case err != nil:
	case !done:
		return 0, c.refused(key, answer)
	case len(answer.Results) != 1 || answer.Results[0] == nil || answer.Results[0].ModifyIndex == 0:
		err = errors.New("the answer makes no sense")
	default:
		return answer.Results[0].ModifyIndex, nil
	}
	return 0, unavailable("putting a value", err)
}

// refused tells a conflict from other things for which Consul rolls a transaction
// back: those have no code of their own, only words.
func (c *Consul) refused(key string, answer *api.KVTxnResponse) error {
	for _, e := range answer.Errors {
		if e != nil && strings.Contains(e.What, "index is stale") {
			return fmt.Errorf("%q: %w", key, ErrConflict)
		}
	}
	what := "no reason given"
	if len(answer.Errors) > 0 && answer.Errors[0] != nil {
		what = answer.Errors[0].What
	}
	return unavailable("putting a value", errors.New(what))
}

// Delete is Store's.
func (c *Consul) Delete(ctx context.Context, key string, expect uint64) error {
	if expect == 0 { // to Consul, index 0 is that of nothing, not even of what is missing
		e, err := c.Get(ctx, key)
		if err == nil && e.Version != 0 {
			err = fmt.Errorf("%q: %w", key, ErrConflict)
		}
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, slack)
	defer cancel()
	var w api.WriteOptions
	var err error
	done := true
	if expect == Any {
		_, err = c.kv.Delete(c.prefix+escape(key), w.WithContext(ctx))
	} else {
		done, _, err = c.kv.DeleteCAS(&api.KVPair{Key: c.prefix + escape(key), ModifyIndex: expect}, w.WithContext(ctx))
	}
	if err != nil {
		return unavailable("deleting a key", err)
	}
	if !done {
		return fmt.Errorf("%q: %w", key, ErrConflict)
	}
	return nil
}

// maxErrorText is how much of an error goes into a message: it may hold a whole page.
const maxErrorText = 200

func unavailable(doing string, err error) error {
	var status api.StatusError
	var request *url.Error
	switch {
	case errors.As(err, &status):
		status.Body = shortened(status.Body)
		err = status
	case errors.As(err, &request):
		err = request.Err // its URL is no help
	case len(err.Error()) > maxErrorText:
		err = errors.New(shortened(err.Error()))
	}
	return fmt.Errorf("%w: Consul: %s: %w", ErrUnavailable, doing, err)
}

func shortened(text string) string {
	if text = strings.TrimSpace(text); len(text) > maxErrorText {
		return fmt.Sprintf("%.*q...", maxErrorText, text)
	}
	return text
}
