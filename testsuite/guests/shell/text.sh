# sort, awk, sed, grep, cut and friends on generated text.
awk 'BEGIN { x = 12345; for (i = 0; i < 3000; i++) { x = (x * 1103515245 + 12345) % 2147483648; printf "%d key%03d %.3f\n", i, x % 1000, x / 1000 } }' > data
wc data
sort -k2,2 -k1,1n data | head -n 5
sort -k3 -n data | tail -n 3
cut -d' ' -f2 data | sort | uniq -c | sort -k1,1nr -k2 | head -n 4
awk '{ n[$2]++; s += $3 } END { for (k in n) c++; printf "%d keys, sum %.2f\n", c, s }' data
awk -F'[ y]' 'NR % 1000 == 0 { print NR, $2, NF, length($0), substr($0, 3, 4), toupper($1) }' data
awk 'BEGIN { print int(-3.7), 2 * 1024, 1e300 * 1e10, 7 % 3, 1 / 3, length("four"), index("haystack", "st") }'
awk 'BEGIN { split("a:b:c", p, ":"); print p[1] p[3]; gsub(/b/, "X", s = "abcb"); printf "%s %e %g %o\n", s, 12345.678, 0.0001, 64 }'
sed -n '5,7p;$p' data
sed -e 's/key\([0-9]*\)/K<\1>/' -e '/K<00/!d' data | head -n 3
sed = data | sed 'N;s/\n/: /' | sed -n '10p'
printf 'a\nb\nc\n' | sed '2i\
inserted
$a\
appended
1d'
grep -c 'key1' data; grep -n 'key999' data | head -n 2; grep -v key data; echo "grep: $?"
grep -E '^[0-9]{2} ' data | wc -l; echo 'a.b' | grep -F '.' ; echo ABC | grep -i b
tr -d '0-9' < data | sort | uniq -c | head -n 3
head -n 3 data | rev; tail -n +2999 data; fold -w 10 < data | head -n 3
paste -d, data data | head -n 1
head -n 500 data > part.a; sed 's/key5/KEY5/' part.a > part.b; diff part.a part.b > d; echo "diff $?"; wc -l < d; diff -u part.a part.b | grep -c '^[-+]'; cmp part.a part.b
expr 6 '*' 7; expr substr abcdef 2 3; seq -s ' ' 1 3 10; factor 1234567890
echo 'scale=20; 4*a(1)' | bc -l 2>/dev/null | head -n 1
printf '10\n9\n2\n33\n1\n' | sort -n | tr '\n' ' '; echo
nl data | sed -n 3p; tac data | head -n 1; od -c data | head -n 2
date -u -d @1000000000 '+%Y-%m-%d %H:%M:%S'; TZ=UTC0 date -d @0 +%c; cal 2 2024
