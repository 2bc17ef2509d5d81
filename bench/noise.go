//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// A turn on a machine that others use too is worth less. These figures say how
// much they used, so that a reader need not take the quiet on trust.

// machineTime is the time that all cores together were busy and existed, since boot.
type machineTime struct{ busy, all time.Duration }

func readMachineTime() (machineTime, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return machineTime{}, fmt.Errorf("the machine's CPU time: %w", err)
	}
	return parseMachineTime(stat)
}

// parseMachineTime takes the first line of /proc/stat: "cpu", then user, nice, system,
// idle, iowait, irq, softirq and steal. Guests' time, after those, is part of user.
func parseMachineTime(stat []byte) (machineTime, error) {
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	fields := bytes.Fields(line)
	const idle, iowait, steal = 4, 5, 8
	if len(fields) <= steal || string(fields[0]) != "cpu" {
		return machineTime{}, fmt.Errorf("the machine's CPU time: unexpected /proc/stat %q", line)
	}
	var t machineTime
	for i := 1; i <= steal; i++ {
		ticks, err := strconv.ParseInt(string(fields[i]), 10, 64)
		if err != nil {
			return machineTime{}, fmt.Errorf("the machine's CPU time: %w", err)
		}
		d := time.Duration(ticks) * (time.Second / userHz)
		t.all += d
		if i != idle && i != iowait {
			t.busy += d
		}
	}
	return t, nil
}

// othersShare is the part of the machine that was busy between two moments with
// something else than ours, which took so much CPU time.
func othersShare(before, after machineTime, ours time.Duration) float64 {
	all := after.all - before.all
	if all <= 0 {
		return 0
	}
	return max(0, float64(after.busy-before.busy-ours)/float64(all))
}
