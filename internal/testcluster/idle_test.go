package testcluster

import "testing"

func TestCPUGroup_KnowsBothVersions(t *testing.T) {
	for groups, want := range map[string]string{
		"0::/system.slice/docker-1.scope\n":                               "/sys/fs/cgroup/system.slice/docker-1.scope",
		"4:memory:/docker/1\n3:cpuset:/docker/2\n2:cpu:/docker/3\n0::/\n": "/sys/fs/cgroup/cpu/docker/3",
		"2:cpu,cpuacct:/docker/3\n":                                       "/sys/fs/cgroup/cpu/docker/3",
		"3:cpuset:/docker/2\n":                                            "",
		"nonsense":                                                        "",
		"":                                                                "",
	} {
		if got := cpuGroup(groups); got != want {
			t.Errorf("cpuGroup(%q) = %q, want %q", groups, got, want)
		}
	}
}
