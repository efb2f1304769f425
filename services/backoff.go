package services

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// How long a process must have run to be taken for one that works.
const (
	steady = time.Second      // its end is followed by a start at once
	proven = 10 * time.Second // and its earlier ends are forgotten
	least  = 100 * time.Millisecond
)

// delayStart arms the timer of the next start.
func (s *Supervisor) delayStart(r *record) {
	wait := r.delay(time.Now())
	r.deadline = time.Now().Add(wait)
	if wait >= time.Second {
		if r.note != "" { // it is empty after an end with 0
			r.note += "; "
		}
		r.note += fmt.Sprintf("next try in %v", wait.Round(100*time.Millisecond))
	}
}

// delay is the wait before the next start: none after a process that worked,
// else growing, with a tenth of jitter so that services which fail together do
// not come back together.
func (r *record) delay(now time.Time) time.Duration {
	worked := time.Duration(0)
	if !r.readyAt.IsZero() {
		worked = now.Sub(r.readyAt)
	}
	if worked >= proven {
		r.failures = 0
	}
	r.failures++
	r.restarts++
	first := time.Duration(0)
	if r.RestartSec != nil {
		first = time.Duration(*r.RestartSec)
	}
	if first == 0 {
		if worked >= steady {
			return 0
		}
		first = least // even where no delay is wanted: one that never works would take the processor
	}
	most := max(time.Duration(r.RestartMaxDelaySec), first)
	wait := most
	switch n := r.failures - 1; {
	case r.RestartSteps > 0 && n < r.RestartSteps:
		// systemd's: equal ratios from the first delay to the longest.
		wait = time.Duration(float64(first) * math.Pow(float64(most)/float64(first), float64(n)/float64(r.RestartSteps)))
	case r.RestartSteps == 0 && n < 20:
		wait = min(first<<n, most)
	}
	return wait + time.Duration((rand.Float64()-0.5)*0.2*float64(wait))
}

// limited says whether the service has been started as often as it may be.
func (r *record) limited(now time.Time) bool {
	if r.MaxRestarts > 0 && r.restarts >= r.MaxRestarts {
		return true
	}
	if r.StartLimitBurst == 0 {
		return false
	}
	recent := 0
	for _, t := range r.starts {
		if now.Sub(t) < time.Duration(r.StartLimitIntervalSec) {
			recent++
		}
	}
	return recent >= r.StartLimitBurst
}

// countStart books a start for the limit; only as many as that looks at are kept.
func (r *record) countStart(now time.Time) {
	if r.StartLimitBurst == 0 {
		return
	}
	r.starts = append(r.starts, now)
	if extra := len(r.starts) - r.StartLimitBurst; extra > 0 {
		r.starts = r.starts[extra:]
	}
}
