package admin

import (
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/pyro-dispatch/pyro-dispatch/inflight"
)

// Calls is what /api/calls tells of the calls under way.
type Calls struct {
	// Graph is where they are; nil: none is looked at.
	Graph *inflight.Graph
	// Time is the calendar's for the graph's.
	Time func(time.Duration) time.Time
}

// callsStatus is the answer.
type callsStatus struct {
	InFlight  int            `json:"in_flight"`
	Untracked uint64         `json:"untracked"`
	Circles   []circleStatus `json:"circles"`
}

// circleStatus is a circle that was found.
type circleStatus struct {
	At            time.Time `json:"at"`
	CorrelationID string    `json:"correlation_id"`
	Chain         []string  `json:"chain"`
	Rejected      bool      `json:"rejected"`
}

// calls answers with what the graph knows, the last circles first.
func (a *api) calls(*http.Request) (any, error) {
	s := callsStatus{Circles: []circleStatus{}}
	if g := a.graph.Graph; g != nil {
		s.InFlight, s.Untracked = g.Len(), g.Untracked()
		for _, c := range g.Circles() {
			s.Circles = append(s.Circles, circleStatus{
				At: a.graph.Time(c.At).UTC(), CorrelationID: uuid.UUID(c.Correlation).String(),
				Chain: c.Names, Rejected: c.Rejected,
			})
		}
	}
	return s, nil
}
