package control

import (
	"context"
	"fmt"

	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// daemonID is the object that every daemon has.
const daemonID = "Pyro.Daemon"

// object finds an object by its id.
func (d *Daemon) object(id string) (Object, bool) {
	if id == daemonID {
		return &d.builtin, true
	}
	return d.Lookup(id)
}

// daemonObject is Pyro.Daemon: class DaemonObject of both libraries.
type daemonObject struct{ daemon *Daemon }

// Members are those of the libraries, though we make no streams.
func (*daemonObject) Members() Members {
	return Members{
		Methods: []string{"close_stream", "get_metadata", "get_next_stream_item", "info", "ping", "registered"},
		Class:   "DaemonObject",
	}
}

// Call runs a method of Pyro.Daemon's.
func (o *daemonObject) Call(_ context.Context, from Caller, method string, args []values.Value, kwargs values.Dict) (values.Value, error) {
	parameters := map[string][]string{
		"get_metadata":         {"objectId", "as_lists"},
		"get_next_stream_item": {"streamId"},
		"close_stream":         {"streamId"},
	}[method]
	bound, err := Bind("DaemonObject."+method, parameters, min(len(parameters), 1), args, kwargs)
	if err != nil {
		return nil, err
	}
	switch method {
	case "registered":
		ids := values.List{daemonID}
		for _, id := range o.daemon.Registered() {
			ids = append(ids, id)
		}
		return ids, nil
	case "info":
		// The dispatchers' health checks look for the class of the server in this text:
		// a busy object of ours keeps nobody waiting, as with a pool of threads.
		return fmt.Sprintf("%s bound on %s, NAT None, %d objects registered. Servertype: pyro-dispatch (like SocketServer_Threadpool)",
			daemonID, from.Local, len(o.daemon.Registered())+1), nil
	case "get_metadata":
		id, _ := values.Text(bound[0])
		object, ok := o.daemon.object(id)
		if !ok {
			return nil, &values.Exception{Class: "errors.DaemonError", Args: []values.Value{textUnknownObject}}
		}
		// Proxies make sets of either. Python 2 cannot read those of serpent (its
		// ast.literal_eval knows none), and only Pyro4 runs there.
		lists, _ := bound[1].(bool)
		return metadata(membersOf(object, from.Dialect), lists || from.Dialect == wire.V48), nil
	case "get_next_stream_item":
		return nil, &values.Exception{Class: "errors.PyroError", Args: []values.Value{"item stream terminated"}}
	}
	return nil, nil // ping, close_stream
}
