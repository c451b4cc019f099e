import { Global, Module } from '@nestjs/common';
import { Credentials } from './credentials.js';
import { JwtCredential } from './jwt.credential.js';

/** Who calls: bearer tokens here; sessions and stream tickets register themselves. It has no route of its own. */
@Global()
@Module({ providers: [Credentials, JwtCredential], exports: [Credentials] })
export class AuthModule {}
