//go:build linux

package main

import "fmt"

// blobScenario is one way of sending blobs.
type blobScenario struct {
	Protocol  protocol `json:"protocol"`
	Clients   int      `json:"clients"`
	Size      int      `json:"size"`
	Listeners int      `json:"listeners"`
}

func (s blobScenario) topic() string { return fmt.Sprintf("%d.%d", s.Protocol, s.Listeners) }

func (s blobScenario) String() string {
	size := fmt.Sprintf("%d KiB", s.Size>>10)
	if s.Size >= 1<<20 {
		size = fmt.Sprintf("%d MiB", s.Size>>20)
	}
	return fmt.Sprintf("%s, %s, %s", size, counted(s.Clients, "client"), counted(s.Listeners, "listener"))
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// mostListeners is how many listeners the topic with the most has.
const mostListeners = 4

func allBlobScenarios() []blobScenario {
	var all []blobScenario
	for _, p := range []protocol{pyro4, pyro5} {
		for _, size := range []int{1 << 10, 1 << 20} {
			for _, listeners := range []int{1, mostListeners} {
				for _, clients := range []int{1, 16, 64} {
					all = append(all, blobScenario{Protocol: p, Clients: clients, Size: size, Listeners: listeners})
				}
			}
		}
	}
	return all
}

// The contenders of the blob comparison.
const (
	blobOurs      = "dispatch"
	blobThread    = "python-thread"
	blobMultiplex = "python-multiplex"
)
