package topics

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/store"
	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

func raise(class, format string, args ...any) *values.Exception {
	return &values.Exception{Class: class, Args: []values.Value{fmt.Sprintf(format, args...)}}
}

// Members is control.Object's. The methods are those of the example's Dispatcher, and
// two more.
func (r *Registry) Members() control.Members {
	return control.Members{
		Methods: []string{"process_blob", "register", "topics", "unregister"},
		Class:   "Dispatcher",
	}
}

// Call is control.Object's. register and unregister answer None once the store has the
// change; the other dispatchers with one Consul know it a moment later. Both may be
// repeated.
func (r *Registry) Call(ctx context.Context, from control.Caller, method string, args []values.Value, kwargs values.Dict) (values.Value, error) {
	name := "Dispatcher." + method
	switch method {
	case "register", "unregister":
		bound, err := control.Bind(name, []string{"topic", "listener"}, 2, args, kwargs)
		if err != nil {
			return nil, err
		}
		l, err := wanted(bound[0], bound[1])
		if err != nil {
			return nil, err
		}
		if method == "unregister" {
			return nil, r.unregister(ctx, l)
		}
		return nil, r.register(ctx, from, l)
	case "topics":
		if _, err := control.Bind(name, nil, 0, args, kwargs); err != nil {
			return nil, err
		}
		if !r.Known() {
			r.log.Warn("the topics cannot be told: the store has not been asked yet", control.CorrelationField(ctx))
			return nil, raise("errors.PyroError", "who listens is not known yet: the store of the topic registry could not be asked; try again later")
		}
		return r.topics(from.Serializer), nil
	case "process_blob":
		return nil, raise("builtins.TypeError", "process_blob() takes one SerializedBlob and nothing else; this call does not carry one")
	}
	return nil, raise("builtins.AttributeError", "the dispatcher has no method %s", clip(method))
}

func wanted(topic, listener values.Value) (l Listener, err error) {
	if l.Topic, err = TopicOf(topic); err != nil {
		return l, err
	}
	l.Object, l.Network, l.Address, err = listenerOf(listener)
	return l, err
}

// topics is a dict from topic to a list of URIs. In JSON a key is text, and msgpack's
// reader in Python refuses the whole answer if one is not: there a number becomes its
// digits, with the listeners of the text that looks like it, if any.
func (r *Registry) topics(s wire.Serializer) values.Dict {
	textKeys := s == wire.JSON || s == wire.Msgpack
	now := r.now.Load()
	d := values.Dict{}
	at := make(map[Topic]int, len(now.byTopic)) // in the order in which their first listeners came
	for _, l := range now.all {
		key := l.Topic
		key.Number = key.Number && !textKeys
		i, there := at[key]
		if !there {
			i = len(d)
			at[key] = i
			d = append(d, values.Pair{Key: key.Value(), Value: values.List{}})
		}
		d[i].Value = append(d[i].Value.(values.List), l.URI())
	}
	return d
}

// maxTries is how often a change that somebody else's came before is tried again.
const maxTries = 8

func (r *Registry) register(ctx context.Context, from control.Caller, l Listener) error {
	if err := r.permit(ctx, from, l); err != nil {
		return err
	}
	l.Dialect = from.Dialect
	if l.Dialect != wire.V48 {
		l.Dialect = wire.V502
	}
	key := l.key()
	have, done, err := r.reserve(key, l.Topic)
	if err != nil {
		return err
	}
	defer done()
	for range maxTries {
		l.Registered = r.config.Now().UTC().Round(0)
		next := held{record: newRecord(l)}
		if have.Network != "" { // else there is none, or junk
			next.Registered, next.Renewals = have.Registered, have.Renewals+1
		}
		next.version, err = r.config.Store.Put(ctx, key, next.bytes(), have.version)
		if err == nil {
			r.did(key, next.version, &next)
			r.log.Info("a listener registered", zap.Stringer("topic", l.Topic), zap.String("listener", l.URI()),
				zap.Uint64("renewals", next.Renewals), zap.Stringer("from", from.Remote))
			return nil
		}
		if !errors.Is(err, store.ErrConflict) {
			break
		}
		e, getErr := r.config.Store.Get(ctx, key)
		if err = getErr; err != nil {
			break
		}
		if have, err = read(key, e); err != nil { // gone meanwhile, or junk
			have = held{version: e.Version}
		}
		err = store.ErrConflict
	}
	return r.refused(ctx, "register", err)
}

// reserve gives what is known of a listener, and checks that there is room for one that
// is new. It takes up that room until done is called.
func (r *Registry) reserve(key string, t Topic) (have held, done func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	have, ok := r.known[key]
	if ok {
		return have, func() {}, nil
	}
	now := r.now.Load().byTopic
	n, fresh := len(now[t]), make(map[Topic]bool) // topics that are coming
	for other, c := range r.coming {
		if _, counted := r.known[other]; counted {
			continue // it is there, and its call is about to end
		}
		if c.topic == t {
			n++
		}
		if len(now[c.topic]) == 0 {
			fresh[c.topic] = true
		}
	}
	topics := len(now) + len(fresh)
	if len(now[t]) == 0 && !fresh[t] && topics >= r.config.MaxTopics {
		return held{}, nil, raise("errors.PyroError", "there are %d topics already: no more are allowed", topics)
	}
	if n >= r.config.MaxListenersPerTopic {
		return held{}, nil, raise("errors.PyroError", "topic %s has %d listeners already: no more are allowed", t, n)
	}
	c := r.coming[key]
	r.coming[key] = arrival{t, c.calls + 1}
	return held{}, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		c := r.coming[key]
		if c.calls--; c.calls == 0 {
			delete(r.coming, key)
			return
		}
		r.coming[key] = c
	}, nil
}

func (r *Registry) unregister(ctx context.Context, l Listener) error {
	key := l.key()
	r.mu.Lock()
	version := r.known[key].version
	r.mu.Unlock()
	if err := r.config.Store.Delete(ctx, key, store.Any); err != nil {
		return r.refused(ctx, "unregister", err)
	}
	r.did(key, version, nil)
	r.log.Info("a listener unregistered", zap.Stringer("topic", l.Topic), zap.String("listener", l.URI()))
	return nil
}

// refused is what a caller is told of an error of the store: not where that is and what
// it says, which is for the log.
func (r *Registry) refused(ctx context.Context, method string, err error) error {
	r.log.Warn("a change of the topic registry failed", zap.String("method", method), control.CorrelationField(ctx), zap.Error(err))
	switch {
	case errors.Is(err, store.ErrFull):
		return raise("errors.PyroError", "the topic registry is full")
	case errors.Is(err, store.ErrConflict):
		return raise("errors.PyroError", "the topic registry was changed by others at the same time, again and again: try once more")
	}
	return raise("errors.PyroError", "the topic registry cannot be changed now: its store is unavailable; try again later")
}
