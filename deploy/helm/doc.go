// Package helm tests the chart dispatch-gateway: that what it renders is what is wanted, what
// Kubernetes knows and what the dispatcher takes as its configuration.
//
// It has no code to import, and it installs nothing: there is no cluster in these tests.
//
// The helm command is the one on PATH where it is of version 3 or later. Otherwise it is built
// from the module in integration/helm and kept in the user's cache directory, which takes a
// minute or two the first time.
package helm
