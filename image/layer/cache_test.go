package layer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fleek-platform/nix2vast/image/plan"
)

// putInto makes TestMain write records until it is killed.
var putInto = flag.String("put-into", "", "directory of a cache to write to for ever")

func TestMain(m *testing.M) {
	if flag.Parse(); *putInto == "" {
		os.Exit(m.Run())
	}
	for n := 0; ; n++ {
		if err := (Cache{Dir: *putInto}).Put(aLayer(n%50), someDigests(n%50)); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		if n == 0 {
			fmt.Println("begun")
		}
	}
}

func aLayer(n int) Layer {
	l := Layer{Name: fmt.Sprint("layer ", n)}
	l.Key = l.key()
	l.Key = fmt.Sprintf("%s%02d", l.Key[:62], n)
	return l
}

func someDigests(n int) Digests {
	return Digests{DiffID: hashOf(fmt.Sprint(n)), Size: int64(n), Blobs: map[Compression]Blob{
		Gzip: {hashOf(fmt.Sprint(n, "gzip")), 10}, Zstd: {hashOf(fmt.Sprint(n, "zstd")), 20}}}
}

func same(a, b any) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

func TestCache(t *testing.T) {
	c := Cache{Dir: filepath.Join(t.TempDir(), "not", "there")}
	if d, ok := c.Get(aLayer(1)); ok {
		t.Error(d)
	}
	want := someDigests(1)
	// One form after the other, as by two pushes, at the same time.
	var wait sync.WaitGroup
	for z, b := range want.Blobs {
		wait.Go(func() {
			if err := c.Put(aLayer(1), Digests{DiffID: want.DiffID, Size: 1, Blobs: map[Compression]Blob{z: b}}); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if err := c.Put(aLayer(1), Digests{DiffID: want.DiffID, Size: 1}); err != nil {
		t.Fatal(err)
	}
	if d, ok := c.Get(aLayer(1)); !ok || !same(d, want) {
		t.Errorf("%+v, want %+v", d, want)
	}
	if d, ok := c.Get(aLayer(2)); ok {
		t.Error(d)
	}
	none := Cache{}
	if err := none.Put(aLayer(1), want); err != nil {
		t.Error(err)
	}
	if d, ok := none.Get(aLayer(1)); ok {
		t.Error(d)
	}
}

func TestDamagedRecord(t *testing.T) {
	c, l, want := Cache{Dir: t.TempDir()}, aLayer(1), someDigests(1)
	if err := c.Put(l, want); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(c.file(l.Key))
	if err != nil {
		t.Fatal(err)
	}
	for _, damaged := range [][]byte{
		{}, make([]byte, len(whole)), whole[:len(whole)/2], whole[:len(whole)-1], append(whole, '}'), []byte("null"), []byte("{}"),
		bytes.Replace(whole, []byte("sha256:"), []byte("sha256:x"), 1), []byte(`{"diffID":7}`),
	} {
		if err := os.WriteFile(c.file(l.Key), damaged, 0o644); err != nil {
			t.Fatal(err)
		}
		if d, ok := c.Get(l); ok {
			t.Errorf("%q: %+v", damaged, d)
		}
		if err := c.Put(l, Digests{DiffID: want.DiffID, Size: want.Size}); err != nil {
			t.Fatal(err)
		}
		if d, ok := c.Get(l); !ok || !same(d, want) {
			t.Errorf("%+v, want %+v", d, want)
		}
	}
	if err := os.WriteFile(c.file(l.Key+blobRecords[Gzip]), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	delete(want.Blobs, Gzip)
	if d, ok := c.Get(l); !ok || !same(d, want) {
		t.Errorf("%+v, want %+v", d, want)
	}
}

// TestKilled kills programs that write, and believes what they leave.
func TestKilled(t *testing.T) {
	c := Cache{Dir: t.TempDir()}
	r := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		var running []*exec.Cmd
		for range 2 {
			cmd := exec.Command(os.Args[0], "-put-into", c.Dir)
			out, err := cmd.StdoutPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			if line, err := bufio.NewReader(out).ReadString('\n'); line != "begun\n" {
				t.Errorf("%q, %v", line, err)
			}
			running = append(running, cmd)
		}
		for range r.IntN(200) {
			c.Get(aLayer(0))
		}
		for _, cmd := range running {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		for n := range 50 {
			if d, ok := c.Get(aLayer(n)); ok && !same(d, someDigests(n)) || n == 0 && !ok {
				t.Fatalf("%+v, want %+v", d, someDigests(n))
			}
		}
	}
	records, err := filepath.Glob(c.Dir + "/*.v1")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range records {
		if b, err := os.ReadFile(path); err != nil || !json.Valid(b) {
			t.Errorf("%s: %q, %v", path, b, err)
		}
	}
	if left, _ := filepath.Glob(c.Dir + "/new-*"); len(left) == 0 { // the pattern is right
		t.Error("no program was killed in the middle")
	}
	if err := c.Prune(time.Now().Add(2 * keepNew)); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(c.Dir + "/*"); len(left) != len(records)+1 {
		t.Errorf("%d files, want %d records and the stamp", len(left), len(records))
	}
}

func TestPrune(t *testing.T) {
	c := Cache{Dir: t.TempDir()}
	now := time.Now()
	for n := range 3 {
		if err := c.Put(aLayer(n), someDigests(n)); err != nil {
			t.Fatal(err)
		}
	}
	old := func(name string, days int) {
		at := now.Add(-time.Duration(days) * 24 * time.Hour)
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 2 {
		for _, form := range []string{"", blobRecords[Gzip], blobRecords[Zstd]} {
			old(c.file(aLayer(n).Key+form), 91)
		}
	}
	foreign := filepath.Join(c.Dir, "thesis.tex")
	if err := os.WriteFile(foreign, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	old(foreign, 1000)
	if _, ok := c.Get(aLayer(0)); !ok { // and now it is in use again
		t.Error("not remembered")
	}
	if err := c.Prune(now); err != nil {
		t.Fatal(err)
	}
	for n, want := range []bool{true, false, true} {
		if _, err := os.Stat(c.file(aLayer(n).Key + blobRecords[Zstd])); (err == nil) != want {
			t.Errorf("layer %d: %v", n, err)
		}
		if _, ok := c.Get(aLayer(n)); ok != want {
			t.Errorf("layer %d: %v", n, ok)
		}
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Error(err)
	}
	for later, want := range map[time.Duration]bool{23 * time.Hour: true, 25 * time.Hour: false} {
		old(c.file(aLayer(2).Key), 100)
		if err := c.Prune(now.Add(later)); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(c.file(aLayer(2).Key)); (err == nil) != want {
			t.Errorf("after %v: %v", later, err)
		}
		if err := c.Put(aLayer(2), someDigests(2)); err != nil {
			t.Fatal(err)
		}
		old(filepath.Join(c.Dir, "pruned"), 0)
	}
}

// TestCacheThatCannotBeWritten wants the work done, and one sentence about the cache.
func TestCacheThatCannotBeWritten(t *testing.T) {
	s := newStore(t)
	layers := []Layer{layerOf(s.add(t, "a-1", tree{"a": "1"})), layerOf(s.add(t, "b-1", tree{"b": "2"}))}
	settle(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{
		fullDir(t, "size=4k"): "no space left on device", fullDir(t, "ro"): "read-only file system", file + "/cache": "not a directory",
	} {
		var warnings []string
		c := Cache{Dir: dir, Warn: func(err error) { warnings = append(warnings, err.Error()) }}
		d, err := Hash(t.Context(), layers, string(s), c)
		if err != nil || !isDigest(d[0].DiffID) || !isDigest(d[1].DiffID) {
			t.Errorf("%v, %v", d, err)
		}
		if err := Verify(t.Context(), layers, string(s), c); err != nil {
			t.Error(err)
		}
		if len(warnings) != 2 || !strings.Contains(warnings[0], want) || !strings.Contains(warnings[0], "will take as long") {
			t.Errorf("%q, want twice %q", warnings, want)
		}
		if left, _ := filepath.Glob(dir + "/new-*"); len(left) > 0 {
			t.Errorf("%q are left", left)
		}
	}
}

// fullDir is a directory on a file system of its own, in which nothing can be written.
func fullDir(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("unshare", "-r", "-m", "sh", "-c",
		`mount -t tmpfs -o "$1" none "$0" && { head -c 4096 /dev/zero >"$0/full" 2>/dev/null; echo done; read end; }`, dir, options)
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "done\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return fmt.Sprintf("/proc/%d/root%s", cmd.Process.Pid, dir)
}

// known is an image of 1,500 paths and some 4.5 GB of which everything is remembered.
func known(t testing.TB) (file []byte, c Cache) {
	t.Helper()
	p := randomPlan(rand.New(rand.NewPCG(1, 1)), 1500, 40<<20)
	p.Tag = "v1" // which Parse wants
	file, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := Plan(p)
	if err != nil {
		t.Fatal(err)
	}
	c = Cache{Dir: t.TempDir()}
	for n, l := range layers {
		if err := c.Put(l, someDigests(n)); err != nil {
			t.Fatal(err)
		}
	}
	return file, c
}

// secondTime is what a second plan and hash of an image are.
func secondTime(t testing.TB, file []byte, c Cache) {
	t.Helper()
	p, err := plan.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := Plan(p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Hash(t.Context(), layers, "/none", c); err != nil {
		t.Fatal(err)
	}
}

func TestSecondTimeIsQuick(t *testing.T) {
	file, c := known(t)
	best := time.Hour
	for range 10 {
		began := processorTime(t)
		secondTime(t, file, c)
		best = min(best, processorTime(t)-began)
	}
	if best > 100*time.Millisecond {
		t.Errorf("the second time takes %v", best)
	}
}

func BenchmarkSecondTime(b *testing.B) {
	file, c := known(b)
	for b.Loop() {
		secondTime(b, file, c)
	}
}
