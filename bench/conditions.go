//go:build linux

package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// conditions are what a reader needs to judge the figures. What could not be
// found out says so; nothing here stops a comparison.
type conditions struct {
	Date     string `json:"date"`
	CPU      string `json:"cpu"`
	Cores    int    `json:"cores"`
	Kernel   string `json:"kernel"`
	Go       string `json:"go"`
	HAProxy  string `json:"haproxy"`
	Revision string `json:"revision"`
	parameters
}

func observeConditions(ctx context.Context, p parameters) conditions {
	const unknown = "unknown"
	return conditions{
		Date:       time.Now().UTC().Format("2006-01-02 15:04 UTC"),
		CPU:        orElse(cpuModel(), unknown),
		Cores:      runtime.NumCPU(),
		Kernel:     orElse(fileText("/proc/sys/kernel/osrelease"), unknown),
		Go:         runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH,
		HAProxy:    orElse(haproxyVersion(ctx), "not installed"),
		Revision:   orElse(output(ctx, "git", "describe", "--always", "--dirty"), unknown),
		parameters: p,
	}
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func fileText(path string) string {
	text, _ := os.ReadFile(path)
	return string(bytes.TrimSpace(text))
}

// cpuModel is the first processor's name in /proc/cpuinfo, empty where that has none.
func cpuModel() string {
	for line := range strings.Lines(fileText("/proc/cpuinfo")) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// haproxyVersion is the third word of "HAProxy version 2.6.12-1+deb12u4 2025/04/16 - ...".
func haproxyVersion(ctx context.Context) string {
	words := strings.Fields(output(ctx, "haproxy", "-v"))
	if len(words) < 3 {
		return strings.Join(words, " ")
	}
	return words[2]
}

// output is the standard output of a command, empty if it fails or is missing.
func output(ctx context.Context, name string, args ...string) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(out))
}
