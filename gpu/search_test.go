package gpu

import "testing"

// TestSearchDirs: what the owner names comes first, and what we made is never taken for a driver.
func TestSearchDirs(t *testing.T) {
	h := newHost(t)
	for _, dir := range []string{"/opt/driver", "/opt/late", debianLibs} {
		h.library(dir+"/libcuda.so."+newVersion, "libcuda.so.1")
	}
	h.devices()
	o := h.options()
	o.SearchDirs = []string{"/nowhere", farmDir, "/opt/driver", "/opt/late"}
	for range 2 {
		if r := Setup(t.Context(), o); r.Version != newVersion || len(r.Problems) > 0 {
			t.Errorf("%+v", r)
		}
		h.leadsTo(farmDir+"/libcuda.so.1", "/opt/driver/libcuda.so."+newVersion)
	}
	if r := h.setup(); r.Version != newVersion {
		t.Errorf("without them: %+v", r)
	}
	h.leadsTo(farmDir+"/libcuda.so.1", debianLibs+"/libcuda.so."+newVersion)
}
