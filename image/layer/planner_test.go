package layer

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fleek-platform/nix2vast/image/plan"
)

// TestEveryPathOnce wants each path in one layer, or each part of it, and the parts together.
func TestEveryPathOnce(t *testing.T) {
	eachRandom(t, func(t *testing.T, _ *rand.Rand, p plan.Plan) {
		list := layersOf(t, p)
		if len(list) > DefaultMax || len(keys(list)) != len(list) {
			t.Errorf("%d layers with %d keys", len(list), len(keys(list)))
		}
		places := map[string][]Item{}
		for n, l := range list {
			for _, i := range l.Items {
				places[i.Path.Path] = append(places[i.Path.Path], i)
				if i.Part > 0 && (len(l.Items) != 1 || list[n-1].Items[0].Path.Path != i.Path.Path) {
					t.Errorf("part %d of %s is no layer behind the other parts", i.Part, i.Path.Path)
				}
			}
		}
		if len(places) != len(p.Closure)+2 {
			t.Errorf("%d paths of %d", len(places), len(p.Closure)+2)
		}
		for _, c := range p.Closure {
			items := places[c.Path]
			if want := max(items[0].Parts, 1); len(items) != want {
				t.Errorf("%s is in %d places, want %d", c.Path, len(items), want)
			}
			for n, i := range items {
				if i.Part != n || i.Target != c.Path || i.Modes != nil || i.NarHash != c.NarHash {
					t.Errorf("%+v of %s", i, c.Path)
				}
			}
		}
		if last := list[len(list)-1]; last.Name != "rootfs" || last.Items[0].Target != "/" {
			t.Errorf("the last layer is %s", last.Name)
		}
	})
}

func TestOrderOfThePlanDoesNotMatter(t *testing.T) {
	eachRandom(t, func(t *testing.T, r *rand.Rand, p plan.Plan) {
		want := layersOf(t, p)
		r.Shuffle(len(p.Closure), func(i, j int) { p.Closure[i], p.Closure[j] = p.Closure[j], p.Closure[i] })
		for i := range p.Closure {
			refs := slices.Clone(p.Closure[i].References)
			r.Shuffle(len(refs), func(i, j int) { refs[i], refs[j] = refs[j], refs[i] })
			p.Closure[i].References = refs
		}
		got := layersOf(t, p)
		for i := range want {
			if got[i].Key != want[i].Key || got[i].Name != want[i].Name {
				t.Errorf("layer %d is %s %s, was %s %s", i, got[i].Name, got[i].Key, want[i].Name, want[i].Key)
			}
		}
	})
}

func TestRootfsIsOneLayer(t *testing.T) {
	eachRandom(t, func(t *testing.T, _ *rand.Rand, p plan.Plan) {
		old := layersOf(t, p)
		p.Rootfs.Path.Path, p.Rootfs.NarHash, p.Rootfs.NarSize = storePathOf("new", "rootfs"), hashOf("new"), 41<<10
		for i, l := range layersOf(t, p) {
			if (l.Key != old[i].Key) != (i == len(old)-1) {
				t.Errorf("layer %d, %s", i, l.Name)
			}
		}
	})
}

// TestChangeMovesItsBucket wants new layers only where something has changed.
func TestChangeMovesItsBucket(t *testing.T) {
	eachRandom(t, func(t *testing.T, r *rand.Rand, p plan.Plan) {
		now, changed := rebuilt(p, p.Closure[r.IntN(len(p.Closure))].Path)
		kept := keys(layersOf(t, now))
		for _, l := range layersOf(t, p) {
			holds := l.Name == "nix database" || slices.ContainsFunc(l.Items, func(i Item) bool { return changed[i.Path.Path] })
			if holds == kept[l.Key] {
				t.Errorf("layer %s holds something new: %v, its key has stayed: %v", l.Name, holds, kept[l.Key])
			}
		}
	})
}

// TestGoneMovesItsBucket takes a small path away that nobody needs: one bucket changes, or
// joins its neighbours.
func TestGoneMovesItsBucket(t *testing.T) {
	p := randomPlan(rand.New(rand.NewPCG(1, 2)), 1000, 30<<20)
	p.Database, p.Groups, p.Rootfs.References = false, nil, nil
	for i := range p.Closure {
		p.Closure[i].References = nil
	}
	old := layersOf(t, p)
	for i := 0; i < len(p.Closure); i += 20 {
		less := p
		less.Closure = slices.Delete(slices.Clone(p.Closure), i, i+1)
		kept, gone := keys(layersOf(t, less)), 0
		for _, l := range old {
			if !kept[l.Key] {
				gone++
			}
		}
		if gone < 1 || gone > 3 {
			t.Errorf("without %s %d of %d layers are gone", p.Closure[i].Path, gone, len(old))
		}
	}
}

func TestLargePathsAreShared(t *testing.T) {
	cuda, cudnn := aPath("libcublas-12.8", 700<<20), aPath("cudnn-9", 32<<20)
	var common map[string]bool
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		p := randomPlan(r, 50, 64<<20)
		p.Closure = append(p.Closure, cuda, cudnn)
		if seed%2 == 0 {
			p.Groups = append(p.Groups, plan.Group{Name: "cuda libraries", Roots: []string{cuda.Path}})
		}
		all := keys(layersOf(t, p))
		for k := range common {
			if !all[k] {
				delete(common, k)
			}
		}
		if common == nil {
			common = all
		}
	}
	if len(common) < 3 { // two parts and a path; then what all random images have, such as /init
		t.Errorf("%d layers are the same in all images", len(common))
	}
	list := layersOf(t, plan.Plan{Closure: []plan.Path{cuda, cudnn}, Rootfs: plan.Rootfs{Path: aPath("rootfs", 1)}})
	for _, l := range list[:3] {
		if !common[l.Key] {
			t.Errorf("layer %s is not in all images", l.Name)
		}
	}
}

// TestOrder wants CUDA at the bottom where the plan says so, and what is needed below what
// needs it.
func TestOrder(t *testing.T) {
	glibc, cudart, cublas := aPath("glibc-2.40", 35<<20), aPath("cuda_cudart-12.8", 40<<20), aPath("libcublas-12.8", 1100<<20)
	cudart.References = []string{glibc.Path, cudart.Path}
	cublas.References = []string{cudart.Path}
	bash, vim := aPath("bash-5.2", 1<<20, glibc.Path), aPath("vim-9", 50<<20, glibc.Path)
	p := plan.Plan{
		Closure: []plan.Path{vim, bash, cublas, cudart, glibc},
		Groups:  []plan.Group{{Name: "base", Roots: []string{bash.Path}}, {Name: "cuda", Roots: []string{cublas.Path, glibc.Path}}},
		Rootfs:  plan.Rootfs{Path: aPath("rootfs", 1)},
		Files: []plan.File{{Path: aPath("a-1", 1), Target: "/sbin/reboot", Mode: "0755"},
			{Path: aPath("init-1", 1), Target: "/init", Mode: "0755"}},
		Database: true,
	}
	var got []string
	for _, l := range layersOf(t, p) {
		got = append(got, l.Group+"/"+l.Name)
	}
	want := []string{"base/glibc-2.40", "base/base", "cuda/cuda_cudart-12.8", "cuda/libcublas-12.8 1 of 3",
		"cuda/libcublas-12.8 2 of 3", "cuda/libcublas-12.8 3 of 3", "packages/vim-9", "/nix database", "/init", "/reboot", "/rootfs"}
	if !slices.Equal(got, want) {
		t.Errorf("%q,\nwant %q", got, want)
	}
}

func TestBudget(t *testing.T) {
	p := randomPlan(rand.New(rand.NewPCG(3, 3)), 600, 3<<30)
	for _, max := range []int{120, 100, 40, 12, 8} {
		p.Layers.Max = max
		list := layersOf(t, p)
		if len(list) > max || len(list) <= max/4 {
			t.Errorf("%d layers, where %d may be", len(list), max)
		}
	}
	for max, want := range map[int]string{
		121: "121 layers: an image may have 1 to 120", -1: "-1 layers", 3: "needs 7 layers at least, and may have 3: there are 4 groups",
	} {
		p.Layers.Max = max
		if _, err := Plan(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	p.Layers = plan.Limits{Own: -5}
	if _, err := Plan(p); err == nil || !strings.Contains(err.Error(), "-5") {
		t.Error(err)
	}
	p.Layers = plan.Limits{Own: 1 << 62, Part: 1 << 62}
	if list := layersOf(t, p); len(list) > DefaultMax {
		t.Errorf("%d layers", len(list))
	}
}

func TestBuckets(t *testing.T) {
	eachRandom(t, func(t *testing.T, _ *rand.Rand, p plan.Plan) {
		for _, l := range buckets("small", p.Closure, 20<<20) {
			names := map[string]bool{}
			for _, i := range l.Items {
				names[packageName(i.Title())] = true
			}
			if l.Size > 20<<20 && len(names) > 1 {
				t.Errorf("%s has %d bytes of %d packages", l.Name, l.Size, len(names))
			}
		}
	})
	for title, want := range map[string]string{
		"bash-5.2": "bash", "gcc-13.2.0-lib": "gcc", "cuda_cudart-12.8": "cuda_cudart", "python3.12-numpy-2.0": "python3.12-numpy",
		"source": "source", "X-Y": "X-Y", "a-": "a-", "-1": "", "": "", "perl-5-man": "perl", "unit-sshd.service": "unit-sshd.service",
	} {
		if got := packageName(title); got != want {
			t.Errorf("%q: %q, want %q", title, got, want)
		}
	}
}

func TestPlanThatDoesNotHoldTogether(t *testing.T) {
	good := func() plan.Plan {
		a := aPath("a-1", 1)
		return plan.Plan{
			Closure: []plan.Path{a, aPath("b-1", 2, a.Path)},
			Rootfs:  plan.Rootfs{Path: aPath("rootfs", 1, a.Path), Modes: map[string]string{"/etc": "0750"}},
			Files:   []plan.File{{Path: aPath("init", 1), Target: "/init", Mode: "755"}},
		}
	}
	layersOf(t, good())
	for _, test := range []struct {
		damage func(p *plan.Plan)
		want   string
	}{
		{func(p *plan.Plan) { p.Closure = append(p.Closure, p.Closure[0]) }, "-a-1 is in the closure twice"},
		{func(p *plan.Plan) { p.Closure[0].Path = "/usr/lib" }, `"/usr/lib" is no path of /nix/store`},
		{func(p *plan.Plan) { p.Closure[1].Path += "/bin" }, `-b-1/bin" is no path of /nix/store`},
		{func(p *plan.Plan) { p.Closure[1].Path = "/nix/store/../../etc" }, "is no path of"},
		{func(p *plan.Plan) { p.Closure = p.Closure[1:] }, "-b-1 refers to /nix/store/"},
		{func(p *plan.Plan) { p.Rootfs.References = []string{"/nix/store/none"} }, "-rootfs refers to /nix/store/none, which is not in the closure"},
		{func(p *plan.Plan) { p.Files[0].References = []string{"/nix/store/none"} }, "-init refers to /nix/store/none"},
		{func(p *plan.Plan) { p.Groups = []plan.Group{{Name: "g", Roots: []string{"/nix/store/none"}}} }, `the group "g" has the root /nix/store/none`},
		{func(p *plan.Plan) { p.Closure[0].NarSize = -1 }, "-a-1 has -1 bytes"},
		{func(p *plan.Plan) { p.Rootfs.Modes["/etc"] = "u+s" }, `the mode "u+s" of /etc`},
		{func(p *plan.Plan) { p.Rootfs.Modes["etc/"] = "0700" }, `the target "etc/" is no clean absolute path`},
		{func(p *plan.Plan) { p.Files[0].Target = "init" }, `the target "init" is no clean`},
		{func(p *plan.Plan) { p.Files[0].Target = "/" }, "cannot become /"},
		{func(p *plan.Plan) { p.Files = append(p.Files, p.Files[0]) }, "cannot become /init, which is something else"},
		{func(p *plan.Plan) { p.Rootfs.Path = plan.Path{} }, `"" is no path of /nix/store`},
	} {
		p := good()
		test.damage(&p)
		if _, err := Plan(p); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %q", err, test.want)
		}
	}
	p := good()
	for i := range 30 {
		p.Closure[0].References = append(p.Closure[0].References, storePathOf(fmt.Sprint(i), "none"))
	}
	if _, err := Plan(p); err == nil || !strings.HasSuffix(err.Error(), "\nand 10 more") {
		t.Error(err)
	}
}

// TestCircle wants an end, since a plan may say what no Nix would.
func TestCircle(t *testing.T) {
	a, b := aPath("a-1", 40<<20), aPath("b-1", 40<<20)
	a.References, b.References = []string{b.Path}, []string{a.Path}
	rootfs := plan.Rootfs{Path: aPath("rootfs", 1)}
	one := layersOf(t, plan.Plan{Closure: []plan.Path{a, b}, Rootfs: rootfs})
	two := layersOf(t, plan.Plan{Closure: []plan.Path{b, a}, Rootfs: rootfs})
	if !reflect.DeepEqual(one, two) {
		t.Errorf("%v\n%v", one, two)
	}
}

// TestKey wants another key for whatever would change the stream.
func TestKey(t *testing.T) {
	l := func() Layer {
		return Layer{
			Items: []Item{{Path: aPath("a-1", 5), Target: "/", Part: 1, Parts: 3, Modes: map[string]string{"/tmp": "1777"}}},
			Made:  []Made{{Name: "file", Mode: 0o644, Data: []byte("text")}, {Name: "link", Link: "file"}},
		}
	}
	want := l().key()
	named := l()
	named.Name, named.Group, named.Size = "name", "group", 7
	if named.key() != want || l().key() != want || len(want) != 64 {
		t.Errorf("%s, want %s", named.key(), want)
	}
	seen := map[string]int{want: -1}
	for n, change := range []func(l *Layer){
		func(l *Layer) { l.Items[0].Path.Path += "1" },
		func(l *Layer) { l.Items[0].NarHash = hashOf("other") },
		func(l *Layer) { l.Items[0].Target = "/usr" },
		func(l *Layer) { l.Items[0].Part = 2 },
		func(l *Layer) { l.Items[0].Parts = 4 },
		func(l *Layer) { l.Items[0].Modes["/tmp"] = "0777" },
		func(l *Layer) { l.Items[0].Modes["/var"] = "0777" },
		func(l *Layer) { l.Items = append(l.Items, l.Items[0]) },
		func(l *Layer) { l.Items = nil },
		func(l *Layer) { l.Made[0].Name = "life" },
		func(l *Layer) { l.Made[0].Mode = 0o600 },
		func(l *Layer) { l.Made[0].Data = []byte("texts") },
		func(l *Layer) { l.Made[0].Dir = true },
		func(l *Layer) { l.Made[1].Link = "life" },
		func(l *Layer) { l.Made = l.Made[:1] },
	} {
		changed := l()
		change(&changed)
		if before, twice := seen[changed.key()]; twice {
			t.Errorf("changes %d and %d have the same key", n, before)
		}
		seen[changed.key()] = n
	}
}
