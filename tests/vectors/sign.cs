// mcs -out:sign.exe sign.cs && mono sign.exe KEY FILE...   one signature per line, in the order of the files
// Dastra looks like a .NET shop, so this is the nearest we come to the sender's own arithmetic.
using System;
using System.IO;
using System.Security.Cryptography;
using System.Text;

static class Sign
{
    static void Main(string[] args)
    {
        using (var hmac = new HMACSHA256(Encoding.UTF8.GetBytes(args[0])))
        {
            for (var i = 1; i < args.Length; i++)
            {
                Console.WriteLine(Convert.ToBase64String(hmac.ComputeHash(File.ReadAllBytes(args[i]))));
            }
        }
    }
}
