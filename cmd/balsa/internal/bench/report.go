package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// language is how the figures are worded on one of the project's first pages.
type language struct {
	file     string
	measured string // with the machine, the processor, the cores and the file system
	list     string // what stands between the words of a list
	header   string // with the size of the values
	rate     string
	client   string // of one
	clients  string // of several
	failed   string // behind it, with the number of writes that failed
	disk     string
	failover string // with the number of trials, median, 90%, longest
	checked  string
}

var languages = []language{{
	file: "figures.md",
	measured: "`make figures` measured this with `balsa bench` (%s, Go %s) on %s, %s, %d cores%s, shared by %d members and the clients. " +
		"Clients write one value after the other, through all members.",
	list: ", ", header: "values of %d bytes, each synced on a majority", rate: "per second", client: "1 client", clients: "%s clients", failed: " (%s writes failed)",
	disk:     "the disk alone: 4 KiB and a sync, one thread",
	failover: "From SIGKILL of the leader to the next successful write of a client, %d trials: median %s, nine in ten within %s, longest %s.",
	checked:  "Afterwards every acknowledged write was read back from every member, and the members' `HashKV` was equal.",
}, {
	file: "figures.zh-CN.md",
	measured: "以下数字由 `make figures` 用 `balsa bench`（%s，Go %s）测得，机器为 %s、%s、%d 核%s；%d 个成员与所有客户端共用这台机器。" +
		"每个客户端逐个写入，请求平均分给所有成员。",
	list: "、", header: "每个值 %d 字节，均在多数成员上落盘", rate: "每秒", client: "1 个客户端", clients: "%s 个客户端", failed: "（%s 次写入失败）",
	disk:     "仅磁盘：4 KiB 加一次同步，单线程",
	failover: "从对 leader 执行 SIGKILL 到客户端下一次写入成功，共 %d 次：中位数 %s，九成在 %s 以内，最长 %s。",
	checked:  "测量之后从每个成员读回了所有已确认的写入，并且各成员的 `HashKV` 相同。",
}}

// writeMarkdown writes the figures in every language into the directory.
func (f *figures) writeMarkdown(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, l := range languages {
		if err := os.WriteFile(filepath.Join(dir, l.file), []byte(f.markdown(&l)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// markdown is the block that stands in a page.
func (f *figures) markdown(l *language) string {
	var b strings.Builder
	m := &f.machine
	filesystem := ""
	if m.filesystem != "" {
		filesystem = l.list + m.filesystem
	}
	fmt.Fprintf(&b, l.measured+"\n\n", m.version, m.toolchain, m.system, m.processor, m.cores, filesystem, f.members)
	fmt.Fprintf(&b, "| "+l.header+" | "+l.rate+" | p50 | p99 |\n|---|--:|--:|--:|\n", f.size)
	row := func(name string, r *record) {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", name, thousands(r.rate()), milliseconds(r.at(0.5)), milliseconds(r.at(0.99)))
	}
	for _, load := range f.loads {
		name := l.client
		if load.clients > 1 {
			name = fmt.Sprintf(l.clients, thousands(float64(load.clients)))
		}
		if load.failed > 0 {
			name += fmt.Sprintf(l.failed, thousands(float64(load.failed)))
		}
		row(name, &load.record)
	}
	row("*"+l.disk+"*", f.disk)
	fmt.Fprintln(&b)
	if f.failover != nil {
		fmt.Fprintf(&b, l.failover+"\n", len(f.failover.latencies),
			milliseconds(f.failover.at(0.5)), milliseconds(f.failover.at(0.9)), milliseconds(f.failover.at(1)))
	}
	fmt.Fprintln(&b, l.checked)
	return b.String()
}
