package boot

import "testing"

func TestMetricsAddr(t *testing.T) {
	for _, tt := range []struct{ value, reached string }{
		{"127.0.0.1:9400", "127.0.0.1:9400"},
		{":9400", "127.0.0.1:9400"},
		{"0.0.0.0:80", "127.0.0.1:80"},
		{"[::]:9400", "[::1]:9400"},
		{"[::1]:9400", "[::1]:9400"},
		{"10.0.0.7:9400", "10.0.0.7:9400"},
		{"localhost:65535", "localhost:65535"},
	} {
		s, problems := ParseSettings([]string{"NIX2VAST_METRICS_ADDR=" + tt.value})
		wantProblems(t, problems, nil)
		svc := metricsService("/init", s.MetricsAddr).WithDefaults()
		if err := svc.Validate(); err != nil || s.MetricsAddr != tt.value || svc.Probe.HTTP != "http://"+tt.reached+"/healthz" {
			t.Errorf("%s: it listens on %s and is asked at %s, %v", tt.value, s.MetricsAddr, svc.Probe.HTTP, err)
		}
	}
	for _, bad := range []string{"9400", "localhost", ":", ":0", ":65536", ":http", "a b:9400", "::1:9400", "http://:9400", ":9400/metrics", "x\n:1"} {
		s, problems := ParseSettings([]string{"NIX2VAST_METRICS_ADDR=" + bad})
		wantProblems(t, problems, []string{"not an address such as 127.0.0.1:9400 or :9400: there are no metrics"})
		if s.MetricsAddr != "" {
			t.Errorf("%q is taken", bad)
		}
	}
}
