package tracing

import (
	"sync"
	"time"

	"github.com/go-logr/logr/funcr"
	"go.opentelemetry.io/otel"
	"go.uber.org/zap"
)

// A collector that is away fails every batch, which may be many a second. So
// this many problems are logged in an interval, and the others counted.
const (
	problemsInterval = time.Minute
	problemsLogged   = 3
)

// problems logs what the SDK cannot do.
type problems struct {
	log *zap.Logger

	mu         sync.Mutex
	began      time.Time // of the interval
	logged     int       // in the interval
	suppressed int       // since one was logged
}

func newProblems(log *zap.Logger) *problems { return &problems{log: log} }

// listen makes the SDK, which has but one place for each, tell us of errors,
// and of warnings that it would otherwise write to standard error.
func (p *problems) listen() {
	otel.SetErrorHandler(p)
	otel.SetLogger(funcr.New(func(_, text string) {
		p.say(zap.String("problem", text))
	}, funcr.Options{Verbosity: 1})) // 1 is the SDK's level of warnings
}

// Handle logs an error, and is called by the SDK.
func (p *problems) Handle(err error) { p.say(zap.Error(err)) }

func (p *problems) say(problem zap.Field) {
	now := time.Now()
	p.mu.Lock()
	if p.began.IsZero() || now.Sub(p.began) >= problemsInterval {
		p.began, p.logged = now, 0
	}
	if p.logged >= problemsLogged {
		p.suppressed++
		p.mu.Unlock()
		return
	}
	p.logged++
	fields := p.withSuppressed(problem)
	p.mu.Unlock()
	p.log.Warn("tracing has a problem", fields...)
}

// flush says how many problems were not logged, where nothing has said so.
func (p *problems) flush() {
	if p == nil {
		return
	}
	p.mu.Lock()
	fields := p.withSuppressed()
	p.mu.Unlock()
	if len(fields) > 0 {
		p.log.Warn("tracing had problems that were not logged", fields...)
	}
}

// withSuppressed adds how many were suppressed, if any, and forgets them.
// p.mu is held.
func (p *problems) withSuppressed(fields ...zap.Field) []zap.Field {
	if p.suppressed > 0 {
		fields = append(fields, zap.Int("suppressed", p.suppressed))
		p.suppressed = 0
	}
	return fields
}
