// Package tracing makes OpenTelemetry spans of calls, and sends them where the
// standard OTEL_* variables say. It is not for deciding what a call is, what it
// is nested in or when it is over: callers say so. Nor for metrics and logs.
// It imports no other package of this module.
//
// There is no tracer unless the environment asks for one ([FromEnv]), and a nil
// [Tracer] gives zero Spans, whose methods do nothing and allocate nothing. So
// callers need no conditions.
//
// # Traces
//
// A trace's id is the calls' correlation id, all 16 bytes of it. So the calls
// that a client marks as one piece of work are one trace, also when several
// dispatchers each see a part of it, and the id in a log line finds the trace.
// Which traces are sampled is decided by the standard samplers; those with a
// ratio differ in one respect, for which see ratioSampler.
//
// # Spans
//
// There is one span per call, "pyro.call <route>". Its kind is SERVER: to the
// client we are the one that answers, the span lasts for as long as the client
// waits for us, and backends count the calls of a service, and its errors, by
// its SERVER spans. OpenTelemetry would have a proxy make a CLIENT span beside
// it, of the same call for nearly the same time; as long as Pyro's daemons make
// no spans, whose parent it would be, it would say nothing new. Time in the
// queue is a child, "queue", of kind INTERNAL; each further attempt is a child,
// "retry", of kind CLIENT, since a retry is told apart from its call by being
// sent to one endpoint.
//
// # Attributes
//
//	rpc.system.name, rpc.system       "pyro"; the second is the first's name until 2025
//	server.address, server.port       the endpoint: what is behind the intermediary, as the conventions have it
//	network.peer.address, .port       the endpoint of a retry, where it is an IP address
//	network.transport                 "unix" for a socket in the file system, of which server.address is the path
//	error.type                        the outcome, where it is an error
//	pyro.correlation_id               the correlation id, as Pyro and our logs write it
//	pyro.listener, .route, .cluster   names in our configuration
//	pyro.object, .dialect, .serializer, .oneway, .request.size (bytes)
//	pyro.outcome                      as in the metrics
//	pyro.retry.reason                 why there was a retry: what error.type is of the attempt before
//	pyro.retry.failed_endpoint        where that attempt was sent
//
// There is no rpc.method: the method's name is in the payload, which we do not
// deserialise.
package tracing
