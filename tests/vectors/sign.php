<?php
// php sign.php KEY FILE...   one signature per line, in the order of the files
declare(strict_types=1);

foreach (array_slice($argv, 2) as $file) {
    echo base64_encode(hash_hmac('sha256', file_get_contents($file), $argv[1], true)), "\n";
}
