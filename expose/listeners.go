package expose

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
)

const (
	firstRetry = time.Second
	lastRetry  = time.Minute
	// logAgain is how often the log hears of a port that cannot be opened.
	logAgain = 10 * time.Minute
	// logAtOnce is how many of them it hears of by name at a time.
	logAtOnce = 10
	// DefaultMaxListeners is how many may be open at a time.
	DefaultMaxListeners = 4096
)

var errTooMany = errors.New("as many listeners are open as may be")

// ListenersConfig says where to listen, and who is told of it.
type ListenersConfig struct {
	Host string // to bind; "" is every address
	Max  int    // at once; DefaultMaxListeners where it is not positive
	// Open is given a listener to accept from. It belongs to Listeners, which closes it,
	// and then calls Close. The two are called by one goroutine, must return soon, and
	// must not call Listeners.Close. Close may be nil.
	Open  func(key string, ln net.Listener)
	Close func(key string)
	// Listen opens them; that of a net.ListenConfig where it is nil.
	Listen func(ctx context.Context, network, address string) (net.Listener, error)
	Log    *zap.Logger // nil: none
}

// Listeners keeps listeners open on the ports that are wanted. A port that cannot be
// opened, be it somebody else's for the moment, is tried again and again, and no other
// one in its place: there are URIs that name it. It is safe for concurrent use.
type Listeners struct {
	config ListenersConfig
	stop   context.CancelFunc
	wake   chan struct{} // holds a token when want is new
	ended  chan struct{}

	mu     sync.Mutex
	want   map[string]int
	ready  map[string]int // ports that are open, of which Open has been told
	failed map[string]*failure
	news   chan struct{} // closed when there is something new in ready or failed
}

// Failure is a port that is wanted and cannot be opened.
type Failure struct {
	Key      string
	Port     int
	Err      error     // of the last attempt
	Since    time.Time // of the first one
	Attempts int
}

type failure struct {
	Failure
	next, logged time.Time
}

// opened is a listener that is open.
type opened struct {
	port int
	ln   net.Listener
}

// NewListeners makes Listeners that want nothing yet. They have to be closed.
func NewListeners(c ListenersConfig) *Listeners {
	if c.Max <= 0 {
		c.Max = DefaultMaxListeners
	}
	if c.Close == nil {
		c.Close = func(string) {}
	}
	if c.Listen == nil {
		c.Listen = new(net.ListenConfig).Listen
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	ctx, stop := context.WithCancel(context.Background())
	l := &Listeners{
		config: c,
		stop:   stop,
		wake:   make(chan struct{}, 1),
		ended:  make(chan struct{}),
		ready:  make(map[string]int),
		failed: make(map[string]*failure),
		news:   make(chan struct{}),
	}
	go l.run(ctx)
	return l
}

// Sync says which keys are wanted, and on which ports, from now on. It returns before
// that is so. The map is not kept.
func (l *Listeners) Sync(want map[string]int) {
	l.mu.Lock()
	l.want = maps.Clone(want)
	l.tell()
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Failures lists the ports that are wanted and not open, in the order of their keys.
func (l *Listeners) Failures() []Failure {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]Failure, 0, len(l.failed))
	for _, f := range l.failed {
		all = append(all, f.Failure)
	}
	slices.SortFunc(all, func(a, b Failure) int { return cmp.Compare(a.Key, b.Key) })
	return all
}

// Close closes all listeners, and returns when Close has been called for each. It may
// be called again.
func (l *Listeners) Close() {
	l.stop()
	<-l.ended
}

func (l *Listeners) run(ctx context.Context) {
	defer close(l.ended)
	open := make(map[string]opened)
	for ctx.Err() == nil {
		again := l.follow(ctx, open)
		timer := time.NewTimer(again)
		select {
		case <-l.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	for _, key := range slices.Sorted(maps.Keys(open)) {
		l.shut(open, key)
	}
}

// follow opens and closes what has to be, and returns when to do it again at the latest.
func (l *Listeners) follow(ctx context.Context, open map[string]opened) time.Duration {
	l.mu.Lock()
	want := l.want // is never changed
	for key, f := range l.failed {
		if port, ok := want[key]; !ok || port != f.Port {
			delete(l.failed, key)
		}
	}
	l.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(open)) { // first: another key may get the port
		if want[key] != open[key].port {
			l.shut(open, key)
		}
	}
	now := time.Now()
	again := time.Hour // that is, when there is something new
	named, unnamed := 0, 0
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if _, ok := open[key]; ok {
			continue
		}
		next, due := l.due(key, now)
		if due {
			ln, err := l.listen(ctx, want[key], len(open))
			if ctx.Err() != nil {
				if err == nil {
					ln.Close()
				}
				return 0
			}
			if err == nil {
				open[key] = opened{want[key], ln}
				l.config.Open(key, ln)
				l.succeeded(key, want[key])
				continue
			}
			var log bool
			if next, log = l.fail(key, want[key], err, now); log && named < logAtOnce {
				named++
				l.config.Log.Warn(why(err), zap.String("key", key), zap.Int("port", want[key]), zap.Error(err))
			} else if log {
				unnamed++
			}
		}
		again = min(again, next.Sub(now))
	}
	if unnamed > 0 {
		l.config.Log.Warn("more ports cannot be opened", zap.Int("ports", unnamed))
	}
	return again
}

func (l *Listeners) listen(ctx context.Context, port, open int) (net.Listener, error) {
	if open >= l.config.Max {
		return nil, fmt.Errorf("%w: %d", errTooMany, l.config.Max)
	}
	if port < 1 || port > 65535 {
		return nil, fmt.Errorf("%d is no port", port) // 0 would be any
	}
	return l.config.Listen(ctx, "tcp", net.JoinHostPort(l.config.Host, strconv.Itoa(port)))
}

// shut closes a listener. That it cannot be closed would mean that it is.
func (l *Listeners) shut(open map[string]opened, key string) {
	l.mu.Lock()
	delete(l.ready, key)
	l.mu.Unlock()
	_ = open[key].ln.Close()
	delete(open, key)
	l.config.Close(key)
}

// due reports whether a port that is not open is to be tried now, or when.
func (l *Listeners) due(key string, now time.Time) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.failed[key]
	if f == nil {
		return now, true
	}
	return f.next, !f.next.After(now)
}

// fail notes an attempt without success, and returns when the next one is due and
// whether to log this one.
func (l *Listeners) fail(key string, port int, err error, now time.Time) (next time.Time, log bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.failed[key]
	if f == nil {
		f = &failure{Failure: Failure{Key: key, Port: port, Since: now}}
		l.failed[key] = f
	}
	log = f.Err == nil || f.Err.Error() != err.Error() || now.Sub(f.logged) >= logAgain
	if log {
		f.logged = now
	}
	delay := lastRetry
	if f.Attempts < 6 {
		delay = min(firstRetry<<f.Attempts, lastRetry)
	}
	f.Err = err
	f.Attempts++
	l.tell()
	f.next = now.Add(delay/2 + rand.N(delay/2)) // not all at the same time
	return f.next, log
}

func (l *Listeners) succeeded(key string, port int) {
	l.mu.Lock()
	f := l.failed[key]
	delete(l.failed, key)
	l.ready[key] = port
	l.tell()
	l.mu.Unlock()
	if f != nil {
		l.config.Log.Info("a port could be opened after all", zap.String("key", key), zap.Int("port", port),
			zap.Duration("after", time.Since(f.Since)), zap.Int("attempts", f.Attempts))
	}
}

func why(err error) string {
	if errors.Is(err, syscall.EADDRINUSE) {
		return "somebody else has the port of a key: it is tried again, as URIs name it"
	}
	return "the port of a key cannot be opened: it is tried again, as URIs name it"
}
