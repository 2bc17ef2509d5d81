package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/config"
	"github.com/pyro-dispatch/pyro-dispatch/names"
	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// daemons is a cluster that names lead to.
type daemons struct {
	cluster *backend.Cluster
	route   *router.Route      // to whatever its clients ask for there
	stop    context.CancelFunc // nil before it runs
	members []backend.Member
	users   map[string]bool // the object ids whose names lead there
	unused  time.Time       // since when none does; zero: one does
}

// use has the object's names lead to a cluster, which it makes where it is not there. The
// lock is held.
func (b *book) use(object, key string, members []backend.Member) {
	d := b.clusters[key]
	if d == nil {
		var err error
		if d, err = b.start(key); err != nil {
			b.log.Error("no route to what is registered", zap.String("cluster", key), zap.Error(err))
			return
		}
	}
	d.users[object], d.unused = true, time.Time{}
	if !slices.Equal(d.members, members) {
		d.members = members
		d.cluster.SetMembers(0, members)
	}
}

// abandon notes those of the clusters to which no name leads any more.
func (b *book) abandon(left map[string]bool) {
	for key := range left {
		if d := b.clusters[key]; d != nil && len(d.users) == 0 && d.unused.IsZero() {
			d.unused, d.members = time.Now(), nil
			d.cluster.SetMembers(0, nil)
		}
	}
}

// start makes a cluster, and runs it where the book does.
func (b *book) start(key string) (*daemons, error) {
	rc, cc := config.DefaultRoute(), config.DefaultCluster()
	rc.Name, cc.Name = "names", key
	d := &daemons{users: make(map[string]bool), cluster: backend.NewCluster(b.fleet.clusterConfig(&cc, cc.Bounds(false), nil))}
	var err error
	if d.route, err = b.fleet.newRoute(&rc, &cc, d.cluster); err != nil {
		return nil, err
	}
	d.route.Prepare()
	b.clusters[key] = d
	b.fleet.add(d.cluster)
	if b.ctx != nil {
		b.serve(d)
	}
	return d, nil
}

// serve runs a cluster until the book ends. The lock is held.
func (b *book) serve(d *daemons) {
	var ctx context.Context
	ctx, d.stop = context.WithCancel(b.ctx)
	b.running.Go(func() { d.cluster.Run(ctx) })
}

// forget ends clusters that no name has led to for long, and that nobody uses.
func (b *book) forget(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, d := range maps.Clone(b.clusters) {
		if d.unused.IsZero() || now.Sub(d.unused) < forgetAfter || d.stop == nil || len(d.cluster.Status().Endpoints) > 0 {
			continue
		}
		d.stop()
		b.fleet.remove(d.cluster)
		delete(b.clusters, key)
		b.fleet.set.Forget(key)
	}
}

// apart is why names of an object cannot be called.
func apart(object, taken string, meanings []names.Meaning) error {
	if taken != "" {
		return fmt.Errorf("object %s is that of route %s: without ports for names they cannot be told apart", object, taken)
	}
	return fmt.Errorf("object %s is registered at %s and at %s: without ports for names, or a group, they cannot be told apart",
		object, meanings[0].At[0].Addr, meanings[1].At[0].Addr)
}

func membersAt(at []names.Address) (members []backend.Member) {
	for _, a := range at {
		members = append(members, backend.Member{Address: backend.Address{Network: a.Network, Addr: a.Addr}})
	}
	return members
}
