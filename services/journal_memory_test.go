package services

import (
	"bytes"
	"fmt"
	"os"
	"testing"
)

// memory is a line of /proc/self/status, in KB.
func memory(t testing.TB, field string) float64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, value, _ := bytes.Cut(status, []byte("\n"+field+":"))
	var kb float64
	if _, err := fmt.Sscan(string(value), &kb); err != nil {
		t.Fatal(err)
	}
	return kb
}
