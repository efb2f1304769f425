package tailnet

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTransparentIslands sends a file from one box to a server on the other, both ordinary programs.
func TestTransparentIslands(t *testing.T) {
	a, b, atA, atB := twoIslands(t, false)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	dir := t.TempDir()
	content := bytes.Repeat([]byte("hello over the tailnet\n"), 50_000)
	if err := os.WriteFile(filepath.Join(dir, "file"), content, 0o644); err != nil {
		t.Fatal(err)
	}
	// It binds the box's address in the tailnet, which no device has.
	web := a.transparent(ctx, "python3", "-u", "-m", "http.server", "--bind", atA, "--directory", dir, "8000")
	out, err := web.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := web.Start(); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 200)
	n, err := out.Read(first)
	if err != nil || !strings.Contains(string(first[:n]), atA+" port 8000") {
		t.Fatalf("%s %v", first[:n], err)
	}
	defer func() {
		_ = web.Process.Kill()
		_ = web.Wait()
	}()
	for _, from := range []*island{a, b} {
		got, err := from.transparent(ctx, "curl", "-sS", "--max-time", "30", "http://"+atA+":8000/file").CombinedOutput()
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%v: %d bytes, %.200s", err, len(got), got)
		}
	}
	if got, err := a.transparent(ctx, "curl", "-sS", "--max-time", "30", "http://"+atB+":8000/").CombinedOutput(); err == nil || !strings.Contains(err.Error(), "exit status 7") { // it could not connect
		t.Errorf("%v: %s", err, got)
	}
}

// TestGloo has PyTorch reduce over gloo between the two, which listens on its interface and
// tells the other the address.
func TestGloo(t *testing.T) {
	for _, c := range []struct {
		name    string
		forward bool
		size    string // MiB
	}{{"direct", true, "16"}, {"relayed", false, "4"}} {
		t.Run(c.name, func(t *testing.T) {
			a, b, atA, _ := twoIslands(t, c.forward)
			ctx, cancel := context.WithTimeout(t.Context(), 3*limit)
			defer cancel()
			outs := make(chan string, 2)
			for rank, i := range []*island{a, b} {
				cmd := i.transparent(ctx, "/usr/bin/python3", "testdata/gloo.py")
				cmd.Env = append(os.Environ(), "MASTER_ADDR="+atA, "GLOO_SOCKET_IFNAME=eth0", fmt.Sprint("RANK=", rank),
					"MEBIBYTES="+c.size, "OMP_NUM_THREADS=1")
				go func() {
					out, err := cmd.CombinedOutput()
					outs <- fmt.Sprint(string(out), err)
				}()
			}
			for range 2 {
				out := <-outs
				t.Log(out)
				if !strings.HasPrefix(out, "ok") || !strings.HasSuffix(out, "<nil>") {
					t.Error("it does not work")
				}
			}
		})
	}
}
