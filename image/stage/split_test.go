package stage

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/fleek-platform/nix2vast/image/plan"
)

// random makes a plan of some paths, large ones among them.
func random(r *rand.Rand) plan.Plan {
	info := func(i int, title string, size int64) plan.Path {
		hash := fmt.Sprintf("%032d", i)
		return plan.Path{Path: plan.StoreDir + "/" + hash + "-" + title, NarSize: size, NarHash: "sha256:" + hash + hash}
	}
	p := plan.Plan{Version: plan.Version, Name: "sample", Tag: "v1", Architecture: "amd64", Created: "1970-01-01T00:00:01Z"}
	for i := range r.IntN(150) {
		size := int64(1 + r.IntN(1<<20))
		if r.IntN(3) == 0 {
			size = 32<<20 + r.Int64N(400<<20)
		}
		p.Closure = append(p.Closure, info(i, fmt.Sprintf("package%d-1.0", i), size))
	}
	for i := range r.IntN(3) {
		p.Files = append(p.Files, plan.File{Path: info(1000+i, "file", 500), Target: fmt.Sprintf("/file%d", i), Mode: "0755"})
	}
	p.Rootfs.Path = info(2000, "rootfs", 2000)
	return p
}

// TestSplit holds for any plan: there are exactly n folders, each thing is in one of them,
// the root file system in the last that holds any, and an edit of that changes no other.
func TestSplit(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		p, n := random(r), 1+r.IntN(40)
		folders, err := Split(p, n)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if len(folders) != n {
			t.Fatalf("seed %d: there are %d folders, want %d", seed, len(folders), n)
		}
		seen := map[string]int{}
		for i, f := range folders {
			if (f.Key == "") != (len(f.Layers) == 0) || (f.Name == "") != (len(f.Layers) == 0) {
				t.Errorf("seed %d: folder %d with %d layers is %q with the key %q", seed, i, len(f.Layers), f.Name, f.Key)
			}
			for _, l := range f.Layers {
				for _, item := range l.Items {
					if item.Part == 0 {
						seen[item.Target]++
					}
				}
			}
		}
		want := []string{"/"}
		for _, c := range p.Closure {
			want = append(want, c.Path)
		}
		for _, f := range p.Files {
			want = append(want, f.Target)
		}
		for _, target := range want {
			if seen[target] != 1 {
				t.Errorf("seed %d: %s is there %d times", seed, target, seen[target])
			}
		}
		last := n - 1
		for folders[last].Key == "" {
			last--
		}
		top := folders[last].Layers[len(folders[last].Layers)-1]
		if top.Items[len(top.Items)-1].Target != "/" {
			t.Errorf("seed %d: the last folder is %s", seed, folders[last].Name)
		}
		if n > len(p.Files)+1 && len(folders[last].Layers)+len(top.Items) != 2 {
			t.Errorf("seed %d: beside the root file system there is more in its folder: %s", seed, folders[last].Name)
		}
		for _, f := range folders[:last] {
			if f.Key == "" {
				t.Errorf("seed %d: a folder before the last is empty", seed)
			}
		}
		p.Rootfs.Path.Path += "-edited"
		p.Rootfs.NarHash += "0"
		edited, err := Split(p, n)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if same := folders[i].Key == edited[i].Key; same != (i != last) {
				t.Errorf("seed %d: after an edit of the root file system, that folder %d of %d is the same is %v", seed, i, n, same)
			}
		}
	}
}

func TestSplitRefuses(t *testing.T) {
	p := random(rand.New(rand.NewPCG(1, 1)))
	for _, n := range []int{-1, 0, 101} {
		if _, err := Split(p, n); err == nil {
			t.Errorf("%d folders are made", n)
		}
	}
}
