// Package health says whether a daemon is well: it asks it, in Pyro ([Probe]),
// makes up its mind from the answers ([Judge]) and from how calls went
// ([Outlier]), and lets one that has recovered begin slowly ([Ramp]).
//
// It does not dial, knows no clusters, has no goroutines and no clock: times are
// given to it. What is safe for concurrent use says so.
package health
