package boot

import (
	"slices"
	"strings"
	"testing"
)

func TestPathSettings(t *testing.T) {
	long := "/" + strings.Repeat("x", maxSocket)
	for _, tt := range []struct {
		environ     string
		log, socket string
		gpu         []string
		problem     string // part of it; "" for none
	}{
		{"A=b", defaultLogDir, "", nil, ""},
		{"NIX2VAST_LOG_DIR=/data/./logs/", "/data/logs", "", nil, ""},
		{"NIX2VAST_LOG_DIR=logs", defaultLogDir, "", nil, `NIX2VAST_LOG_DIR is "logs", not an absolute path below /: /var/log/nix2vast is used`},
		{"NIX2VAST_LOG_DIR=/x/..", defaultLogDir, "", nil, `NIX2VAST_LOG_DIR is "/x/..", not an absolute path below /: `},
		{"NIX2VAST_SOCKET=/shared/init.sock", defaultLogDir, "/shared/init.sock", nil, ""},
		{"NIX2VAST_SOCKET=/run/nix2vast//control.sock", defaultLogDir, "", nil, ""},
		{"NIX2VAST_SOCKET=init.sock", defaultLogDir, "", nil, `NIX2VAST_SOCKET is "init.sock", not an absolute path below /: /run/nix2vast/control.sock is used`},
		{"NIX2VAST_SOCKET=" + long[:maxSocket], defaultLogDir, long[:maxSocket], nil, ""},
		{"NIX2VAST_SOCKET=" + long, defaultLogDir, "", nil, "NIX2VAST_SOCKET is 108 bytes long, and the path of a socket has 107 at most: /run/nix2vast/control.sock is used"},
		{"NIX2VAST_GPU_DIRS=/opt/b/:/opt/a::", defaultLogDir, "", []string{"/opt/b", "/opt/a"}, ""},
		{"NIX2VAST_GPU_DIRS=lib:/opt/a:/", defaultLogDir, "", []string{"/opt/a"}, `NIX2VAST_GPU_DIRS: "lib:/" is left out, since only absolute paths below / are searched`},
	} {
		s, problems := ParseSettings([]string{tt.environ})
		if s.LogDir != tt.log || s.Socket != tt.socket || !slices.Equal(s.GPUDirs, tt.gpu) {
			t.Errorf("%s: %q, %q, %q", tt.environ, s.LogDir, s.Socket, s.GPUDirs)
		}
		var want []string
		if tt.problem != "" {
			want = []string{tt.problem}
		}
		wantProblems(t, problems, want)
	}
}
