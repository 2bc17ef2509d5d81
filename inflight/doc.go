// Package inflight is the graph of the calls in flight through this process:
// which call may have been made by the method of which other, so that circles are
// found while they form and nested calls keep within the time of those they are
// nested in.
//
// What there is to go by: all calls of one tree carry the same correlation id,
// since Pyro's servers pass on the id of the call that they serve. The parent of a
// call is a call in flight with the same id, at the process that the new call comes
// from. Addresses tell hosts apart, not processes. So:
//
//   - Of an id that the dispatcher made only descendants can know: a call that comes
//     with one is nested for certain.
//   - A client's own id may also stand on another call of the same program. Such a
//     call is nested for certain only if it comes from a host where no root of its
//     tree is known to come from.
//   - The call annotation ([Chain]) names the call it comes from.
//
// An answer is Certain only if no other reading of these facts is possible. Where a
// host has several addresses that we do not know to be one's, or clients are behind
// NAT, hosts are not what they seem: calls with ids of ours are then taken to come
// from anywhere, and others for roots.
//
// Without annotations a tree whose calls go through several dispatchers, or past
// them, is not what it seems either.
//
// It is not for decisions, I/O or clocks: times are durations since an instant that
// the caller chose, and what to do about a circle is the caller's to know.
package inflight
