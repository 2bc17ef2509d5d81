package discovery

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"
	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/pace"
)

// RegistrationConfig says as what the dispatcher is registered.
type RegistrationConfig struct {
	Name    string // of the service
	ID      string // of the instance, unique on its agent; empty: name, address and port
	Address string // where clients connect
	Port    int
	Tags    []string
	Meta    map[string]string // the version, for instance
	// CheckURL is what the agent gets, and takes a status of 200 for well. Empty
	// means that there is no check.
	CheckURL        string
	CheckInterval   time.Duration
	DeregisterAfter time.Duration // of failing checks; 0: never
	Log             *zap.Logger   // may be nil
	Events          Events        // Updated is told 1 while registered, and 0
}

// Registration keeps the dispatcher registered with the local agent, also when
// the agent was started anew and knows nothing of it.
type Registration struct {
	client *Client
	config RegistrationConfig
	report *reporter

	mu      sync.Mutex
	stop    context.CancelFunc // of Run
	over    bool               // Deregister was called
	tried   bool               // the agent may know us
	running sync.WaitGroup
}

// NewRegistration makes a Registration. It registers nothing before Run.
func NewRegistration(client *Client, c RegistrationConfig) *Registration {
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	c.ID = cmp.Or(c.ID, c.Name+"-"+net.JoinHostPort(c.Address, strconv.Itoa(c.Port)))
	log := c.Log.With(zap.String("service", c.Name), zap.String("id", c.ID))
	report := newReporter(log, c.Events)
	report.cannot, report.again = "cannot register with Consul, or deregister", "Consul takes registrations again"
	return &Registration{client: client, config: c, report: report}
}

// Run registers, and stays to register again, until ctx ends or Deregister is
// called. It leaves the registration as it is.
func (r *Registration) Run(ctx context.Context) {
	r.mu.Lock()
	if r.over {
		r.mu.Unlock()
		return
	}
	ctx, r.stop = context.WithCancel(ctx)
	r.running.Add(1)
	r.mu.Unlock()
	defer r.running.Done()
	defer r.stop()

	var (
		registered bool
		hash       string // of what the agent knows of us
		delays     pace.Backoff
		limit      = pace.Bucket{Interval: time.Second, Burst: 2}
	)
	for pace.Sleep(ctx, limit.Next(time.Now())) {
		var err error
		if !registered {
			if err = r.register(ctx); err == nil {
				registered, hash = true, ""
				r.report.log.Info("registered with Consul")
				r.config.Events.updated(1)
			}
		} else {
			hash, err = r.await(ctx, hash)
			if hasStatus(err, http.StatusNotFound) {
				registered, err = false, nil
				r.report.log.Warn("Consul has lost our registration")
				r.config.Events.updated(0)
			}
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			hash = ""
			r.report.failed(err)
			pace.Sleep(ctx, delays.Next())
			continue
		}
		delays.Reset()
		r.report.answered()
	}
}

// register tells the agent. It does not end with ctx: a request that was broken
// off may still have its effect, after that of Deregister's.
func (r *Registration) register(ctx context.Context) error {
	r.mu.Lock()
	r.tried = true
	r.mu.Unlock()
	service := &api.AgentServiceRegistration{
		ID:      r.config.ID,
		Name:    r.config.Name,
		Address: r.config.Address,
		Port:    r.config.Port,
		Tags:    slices.Clone(r.config.Tags),
		Meta:    maps.Clone(r.config.Meta),
	}
	if r.config.CheckURL != "" {
		service.Check = &api.AgentServiceCheck{
			Name:     "ready",
			HTTP:     r.config.CheckURL,
			Interval: r.config.CheckInterval.String(),
			// Without it, an agent that was started anew would hide us until its
			// first check, although nothing has changed.
			Status: api.HealthPassing,
		}
		if r.config.DeregisterAfter > 0 {
			service.Check.DeregisterCriticalServiceAfter = r.config.DeregisterAfter.String()
		}
	}
	ctx, cancel := bounded(context.WithoutCancel(ctx), 0)
	defer cancel()
	opts := api.ServiceRegisterOpts{ReplaceExistingChecks: true}
	if err := r.client.api.Agent().ServiceRegisterOpts(service, opts.WithContext(ctx)); err != nil {
		return fmt.Errorf("registering with Consul: %w", err)
	}
	return nil
}

// await asks the agent for us, which it answers when something has changed: that
// it does not know us, with 404.
func (r *Registration) await(ctx context.Context, hash string) (string, error) {
	ctx, cancel := bounded(ctx, r.client.wait)
	defer cancel()
	q := api.QueryOptions{WaitHash: hash, WaitTime: r.client.wait}
	var service *api.AgentService
	err := guarded(func() (err error) {
		service, _, err = r.client.api.Agent().Service(r.config.ID, q.WithContext(ctx))
		return err
	})
	if err == nil && service == nil {
		err = fmt.Errorf("%w: no service", errNonsense)
	}
	if err != nil {
		return "", fmt.Errorf("asking Consul for our registration: %w", err)
	}
	return service.ContentHash, nil
}

// Deregister ends Run and takes the registration back, trying again until ctx
// ends, whose error it returns then with the last cause. Run does not register
// any more.
func (r *Registration) Deregister(ctx context.Context) error {
	r.mu.Lock()
	r.over = true
	if r.stop != nil {
		r.stop()
	}
	r.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		r.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		return fmt.Errorf("deregistering from Consul: %w", ctx.Err())
	}
	if !r.tried {
		return nil
	}
	for delays := (pace.Backoff{}); ; {
		err := r.deregister(ctx)
		if err == nil || hasStatus(err, http.StatusNotFound) {
			r.report.log.Info("deregistered from Consul")
			r.config.Events.updated(0)
			return nil
		}
		r.report.failed(err)
		if !pace.Sleep(ctx, delays.Next()) {
			return fmt.Errorf("deregistering from Consul: %w: %w", ctx.Err(), shortened(err))
		}
	}
}

func (r *Registration) deregister(ctx context.Context) error {
	ctx, cancel := bounded(ctx, 0)
	defer cancel()
	var q api.QueryOptions
	return r.client.api.Agent().ServiceDeregisterOpts(r.config.ID, q.WithContext(ctx))
}
