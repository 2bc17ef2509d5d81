package discovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"

	"github.com/hashicorp/consul/api"
)

// Reason says why asking gave no answer that can be used. It is short and one
// of a few, for metrics.
type Reason string

// The reasons.
const (
	ReasonUnreachable Reason = "unreachable" // not connected, or the connection broke
	ReasonTimeout     Reason = "timeout"     // nothing came in time
	ReasonDenied      Reason = "denied"      // the ACL token was refused, or does not let us see
	ReasonToken       Reason = "token"       // the token file cannot be read
	ReasonServer      Reason = "server"      // Consul or a name server said that it failed
	ReasonRequest     Reason = "request"     // Consul or a name server said that we asked for something wrong
	ReasonThrottled   Reason = "throttled"   // Consul has too much to do
	ReasonNoLeader    Reason = "no_leader"   // Consul's servers have no leader: nobody there knows
	ReasonNonsense    Reason = "nonsense"    // the answer is not what whoever we asked says
	ReasonNotFound    Reason = "not_found"   // there is no such name, not often enough to be believed
)

// Answers that say nothing. They are wrapped, with what is special.
var (
	errNonsense = errors.New("the answer makes no sense")
	errNoLeader = errors.New("no members, says a Consul server that knows of no leader")
	errHidden   = errors.New("no members, since the ACL token may see none of them")
	errToken    = errors.New("no ACL token")
)

func reasonOf(err error) Reason {
	var status api.StatusError
	var dns *net.DNSError
	var network net.Error
	var request *url.Error
	var asking *nameServerError
	switch {
	case errors.As(err, &asking):
		return asking.reason
	case errors.Is(err, errNoNames):
		return ReasonNotFound
	case errors.Is(err, errToken):
		return ReasonToken
	case errors.Is(err, errHidden):
		return ReasonDenied
	case errors.Is(err, errNoLeader):
		return ReasonNoLeader
	case errors.Is(err, errNonsense):
		return ReasonNonsense
	case errors.As(err, &status):
		return reasonOfStatus(status.Code)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return ReasonTimeout
	case errors.As(err, &dns) && dns.IsNotFound:
		return ReasonNotFound
	case errors.As(err, &network) && network.Timeout():
		return ReasonTimeout
	case errors.As(err, &dns):
		return ReasonServer
	case errors.As(err, &request), errors.As(err, &network):
		return ReasonUnreachable
	}
	return ReasonNonsense // the client's errors of decoding are of many types
}

func reasonOfStatus(code int) Reason {
	switch {
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return ReasonDenied
	case code == http.StatusTooManyRequests:
		return ReasonThrottled
	case code >= 500:
		return ReasonServer
	case code >= 400:
		return ReasonRequest
	}
	return ReasonNonsense
}

// hasStatus reports whether err is an answer with that HTTP status.
func hasStatus(err error, code int) bool {
	var status api.StatusError
	return errors.As(err, &status) && status.Code == code
}

// allNonsense is the error of an answer of which nothing can be used: it says as
// little as none.
func allNonsense[T any](items []T, problems []problem) error {
	if len(items) > 0 || len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s: %s", errNonsense, problems[0].where, problems[0].what)
}

// maxErrorBody is how much of the body of an HTTP error goes into a message.
const maxErrorBody = 200

// shortened leaves out of an error what does not belong into a message: a body
// that may be a whole page, and a URL that is not the one that was asked for
// (see Client).
func shortened(err error) error {
	var status api.StatusError
	if errors.As(err, &status) && len(status.Body) > maxErrorBody {
		status.Body = fmt.Sprintf("%.*q...", maxErrorBody, status.Body)
		return status
	}
	var request *url.Error
	if errors.As(err, &request) {
		return request.Err
	}
	return err
}
