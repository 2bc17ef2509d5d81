package discovery

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/consul/api"

	"github.com/pyro-dispatch/pyro-dispatch/pace"
)

func newTestRegistration(t *testing.T, f *fakeConsul, l *listener) *Registration {
	return NewRegistration(f.client(t, ClientConfig{}), RegistrationConfig{
		Name: "dispatch", Address: "192.0.2.1", Port: 9999,
		Tags: []string{"lab"}, Meta: map[string]string{"version": "v3"},
		CheckURL: "http://192.0.2.1:9990/readyz", CheckInterval: 10 * time.Second, DeregisterAfter: 10 * time.Minute,
		Log: l.log, Events: l.events(),
	})
}

const testID = "dispatch-192.0.2.1:9999"

func (f *fakeConsul) registered(id string) *api.AgentServiceRegistration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.agent[id]
}

// TestRegistration registers, again after the agent has forgotten, and
// deregisters for good.
func TestRegistration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, l := newFakeConsul(), newListener()
		f.answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(broken) })
		r := newTestRegistration(t, f, l)
		ended := make(chan struct{})
		go func() { defer close(ended); r.Run(t.Context()) }()
		time.Sleep(time.Minute)
		f.answer(nil)
		time.Sleep(pace.MaxDelay)
		want := &api.AgentServiceRegistration{
			ID: testID, Name: "dispatch", Address: "192.0.2.1", Port: 9999,
			Tags: []string{"lab"}, Meta: map[string]string{"version": "v3"},
			Check: &api.AgentServiceCheck{
				Name: "ready", HTTP: "http://192.0.2.1:9990/readyz", Status: "passing",
				Interval: "10s", DeregisterCriticalServiceAfter: "10m0s",
			},
		}
		if diff := cmp.Diff(want, f.registered(testID)); diff != "" {
			t.Fatalf("registered (-want +got):\n%s", diff)
		}

		f.change(func() { clear(f.agent) })
		time.Sleep(10 * time.Second)
		if f.registered(testID) == nil {
			t.Error("the agent has lost it, and it was not registered again")
		}
		if err := r.Deregister(t.Context()); err != nil {
			t.Error(err)
		}
		<-ended
		r.Run(t.Context()) // returns at once
		time.Sleep(time.Hour)
		if f.registered(testID) != nil || l.members != 0 {
			t.Error("still registered")
		}
		for message, n := range map[string]int{"registered with Consul": 2, "Consul has lost our registration": 1, "deregistered from Consul": 1, "Consul takes registrations again": 1} {
			if got := l.messages()[message]; got != n {
				t.Errorf("%q was logged %d times, want %d", message, got, n)
			}
		}
	})
}

// TestDeregisterWaits: a registration that is under way does not come after the
// deregistration.
func TestDeregisterWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, l := newFakeConsul(), newListener()
		f.answer(func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasSuffix(r.URL.Path, "/register") {
				f.serve(w, r)
				return
			}
			done := make(chan struct{})
			go func() { // it goes on when the connection has gone
				defer close(done)
				time.Sleep(5 * time.Second)
				f.serve(httptest.NewRecorder(), r)
			}()
			select {
			case <-done:
			case <-r.Context().Done():
			}
		})
		r := newTestRegistration(t, f, l)
		go r.Run(t.Context())
		synctest.Wait()
		if err := r.Deregister(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if f.registered(testID) != nil {
			t.Error("it is registered after all")
		}
	})
}

// TestDeregisterTries: until it is done, or its context ends.
func TestDeregisterTries(t *testing.T) {
	tests := []struct {
		name   string
		answer http.HandlerFunc // nil is the agent's own
		comes  time.Duration    // after which the agent answers itself
		want   error
		took   time.Duration // at most
	}{
		{"at once", nil, 0, nil, 0},
		{"not known", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "unknown service", http.StatusNotFound) }, 0, nil, 0},
		{"at last", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(broken) }, 5 * time.Second, nil, 5*time.Second + pace.MaxDelay},
		{"never", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(broken) }, 0, context.DeadlineExceeded, 30 * time.Second},
		{"hangs", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 0, context.DeadlineExceeded, 30 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, l := newFakeConsul(), newListener()
				r := newTestRegistration(t, f, l)
				go r.Run(t.Context())
				synctest.Wait()
				f.answer(test.answer)
				if test.comes > 0 {
					time.AfterFunc(test.comes, func() { f.answer(nil) })
				}
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				start := time.Now()
				if err := r.Deregister(ctx); !errors.Is(err, test.want) {
					t.Errorf("error %v, want %v", err, test.want)
				}
				if took := time.Since(start); took > test.took {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

// TestDeregisterFirst: nothing is said to the agent where nothing was before.
func TestDeregisterFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, l := newFakeConsul(), newListener()
		r := newTestRegistration(t, f, l)
		if err := r.Deregister(t.Context()); err != nil {
			t.Error(err)
		}
		r.Run(t.Context())
		if n := len(f.asked()); n > 0 {
			t.Errorf("the agent was asked %d times", n)
		}
	})
}
