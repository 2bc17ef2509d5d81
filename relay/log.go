package relay

import (
	"github.com/google/uuid"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// CallFailed implements router.Observer. The lock is held, and writing a log may
// take long.
func (d *driver) CallFailed(c router.FailedCall) { d.failed = append(d.failed, c) }

// StreamTimedOut implements router.Observer.
func (d *driver) StreamTimedOut(endpoint string) { d.timedOut = append(d.timedOut, endpoint) }

// Circle implements router.Observer.
func (d *driver) Circle(c router.FoundCircle) { d.circles = append(d.circles, c) }

// logCircle writes one line for a call that closes a circle, or may. The last is a
// matter of course where a program has one id for all its calls.
func (d *driver) logCircle(sum *router.Summary, c *router.FoundCircle) {
	level := zapcore.WarnLevel
	if !c.Certain {
		level = zapcore.DebugLevel
	}
	if e := d.listener.log.Check(level, "circular call"); e != nil {
		e.Write(append(d.sessionFields(sum),
			zap.Stringer("chain", c.Circle),
			zap.Bool("certain", c.Certain),
			zap.Bool("rejected", c.Rejected),
			zap.Stringer("correlation_id", uuid.UUID(c.Correlation)),
		)...)
	}
}

// timedOutAt writes one line for a stream's connection that was given up, and counts
// it.
func (d *driver) timedOutAt(endpoint string) {
	route := d.session.Route()
	d.listener.log.Info("stream idle for too long: its connection was closed",
		zap.String("peer", d.peer), zap.String("route", route.Name), zap.String("endpoint", endpoint))
	d.listener.server.metrics.Cluster(route.Cluster.Name()).StreamTimeouts.Inc()
}

// tellHops lets failures further up be explained by these.
func (d *driver) tellHops(failed []router.FailedCall) {
	for i := range failed {
		if failed[i].Outcome != metrics.ClientClosed {
			d.listener.server.hops.Failed(d.source)
			return
		}
	}
}

// logFailed writes one line for a call that got no reply.
func (d *driver) logFailed(sum *router.Summary, c *router.FailedCall) {
	fields := append(d.sessionFields(sum),
		zap.Stringer("message", c.Type),
		zap.Stringer("outcome", c.Outcome),
		zap.Duration("elapsed", c.Elapsed),
	)
	if c.Err != nil {
		fields = append(fields, zap.NamedError("cause", c.Err))
	}
	if c.HasCorrelation {
		fields = append(fields, zap.Stringer("correlation_id", uuid.UUID(c.Correlation)))
	}
	d.listener.log.Warn("call failed", fields...)
}

// sessionFields name the session, and why it ends.
func (d *driver) sessionFields(sum *router.Summary) []zap.Field {
	fields := []zap.Field{
		zap.String("peer", d.peer),
		zap.String("reason", string(sum.Reason)),
	}
	if sum.Err != nil {
		fields = append(fields, zap.Error(sum.Err))
	}
	if dialect := d.session.Dialect(); dialect != 0 {
		fields = append(fields,
			zap.Stringer("dialect", dialect),
			zap.Stringer("serializer", sum.Serializer),
			zap.String("object", sum.Object),
		)
	}
	if r := d.session.Route(); r != nil {
		fields = append(fields, zap.String("route", r.Name), zap.String("cluster", r.ClusterName()))
	}
	if sum.Endpoint != "" {
		fields = append(fields, zap.String("endpoint", sum.Endpoint))
	}
	return fields
}

// endFields are those of the line that ends a session.
func (d *driver) endFields(sum *router.Summary) []zap.Field {
	fields := append(d.sessionFields(sum),
		zap.Uint64("calls", sum.Calls),
		zap.Int64("request_bytes", sum.RequestBytes),
		zap.Int64("reply_bytes", sum.ReplyBytes),
		zap.Duration("duration", d.listener.server.now()-d.started),
	)
	if sum.Correlation != [16]byte{} {
		fields = append(fields, zap.Stringer("correlation_id", uuid.UUID(sum.Correlation)))
	}
	return fields
}
