# Archives, compression and checksums, there and back.
mkdir src; awk 'BEGIN { for (i = 0; i < 20000; i++) print i, i * i % 977, "some text to compress" }' > src/big
head -c 300000 /dev/zero > src/zeros; echo small > src/small; mkdir src/dir; ln -s small src/link; chmod 750 src/dir
find src | xargs touch -h -d @1000000000
sha256sum src/big src/zeros src/small; md5sum src/big; sha1sum src/big; sha512sum src/small; crc32 src/big
tar cf - src | sha256sum > /dev/null; tar cf all.tar src; tar tf all.tar | sort
mkdir back; tar xf all.tar -C back; diff -r src back/src && echo tar round trip
tar c src | gzip | gunzip | tar t | wc -l
gzip -9 < src/big > big.gz; gunzip < big.gz | cmp - src/big && echo gzip round trip
tar czf all.tgz src; mkdir back2; tar xzf all.tgz -C back2; diff -r src back2/src && echo tgz round trip
bzip2 < src/big > big.bz2; bunzip2 < big.bz2 | cmp - src/big && echo bzip2 round trip
gzip -c src/zeros | wc -c; zcat big.gz | tail -n 1
find src | cpio -o -H newc 2>/dev/null > all.cpio; mkdir back3; (cd back3 && cpio -id 2>/dev/null < ../all.cpio); diff -r src back3/src && echo cpio round trip
base64 src/small; base64 src/big | base64 -d | cmp - src/big && echo base64 round trip
xxd src/small 2>/dev/null | head -n 1; od -An -tx1 src/small
echo corrupted > bad.gz; gunzip -c bad.gz > /dev/null 2>&1; echo "gunzip: $?"
sha256sum src/big > sums; sha256sum -c sums; echo x >> src/big; sha256sum -c sums 2>/dev/null; echo "check: $?"
dd if=src/zeros of=copy bs=4096 skip=1 count=3 seek=2 2>/dev/null; wc -c < copy; sha256sum < copy
