package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

func TestExecute_ReportsWrongArguments(t *testing.T) {
	for args, test := range map[string]struct {
		code int
		want string
	}{
		"":                    {exitUsage, "usage"},
		"nonsense":            {exitUsage, "nonsense"},
		"faults nonsense":     {exitUsage, "nonsense"},
		"mutants nonsense":    {exitUsage, "nonsense"},
		"passwords nonsense":  {exitUsage, "nonsense"},
		"passwords clock-10s": {exitUsage, "clocks"},
		"mix --nonsense":      {exitUsage, "nonsense"},
		"report":              {exitUsage, "directories"},
		"judge":               {exitUsage, "history"},
		"judge /none.json.gz": {exitFailed, "/none.json.gz"},
	} {
		t.Run(args, func(t *testing.T) {
			var out, errs bytes.Buffer
			if code := execute(context.Background(), strings.Fields(args), &out, &errs); code != test.code || !strings.Contains(errs.String(), test.want) {
				t.Errorf("exit code %d, %s", code, errs.String())
			}
		})
	}
}

func TestExecute_PrintsHelpToStandardOutput(t *testing.T) {
	for args, want := range map[string]string{
		"-h": "drill watch", "watch -h": "token-file", "faults --help": "seconds", "judge -h": "DIRECTORY", "report -help": "DIRECTORY",
	} {
		t.Run(args, func(t *testing.T) {
			var out, errs bytes.Buffer
			if code := execute(context.Background(), strings.Fields(args), &out, &errs); code != exitOK || !strings.Contains(out.String(), want) || errs.Len() > 0 {
				t.Errorf("exit code %d, %s%s", code, out.String(), errs.String())
			}
		})
	}
}

func TestExecute_ListsFaultsAndMutants(t *testing.T) {
	var out bytes.Buffer
	if code := execute(context.Background(), []string{"list"}, &out, &out); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	for _, f := range faults() {
		if !strings.Contains(out.String(), f.name) {
			t.Errorf("%s is missing", f.name)
		}
	}
	for _, m := range mutants() {
		if !strings.Contains(out.String(), m.name) {
			t.Errorf("%s is missing", m.name)
		}
	}
}
