import { ApiProperty } from '@nestjs/swagger';
import { IsInt, IsOptional, IsString, Length, Max, Min } from 'class-validator';
import type { Role } from '../../auth/principal.js';
import { ROLES } from '../../auth/principal.js';
import { IsSessionData } from './session-data.js';

/** Opens a session. */
export class OpenSessionDto {
  /** What the session carries: a JSON object of at most 16 KiB. */
  @IsSessionData()
  data: Record<string, unknown> = {};

  /** Seconds that the session lives without a request, at most SESSION_MAX_SECONDS; by default SESSION_TTL_SECONDS. */
  @IsOptional()
  @IsInt()
  @Min(1)
  @Max(31_536_000)
  ttl_seconds?: number;
}

/** Gives a session a new secret, with the role that the bearer token says. */
export class RotateSessionDto {
  /** The session's present token. */
  @IsString()
  @Length(1, 256)
  token!: string;
}

/** Replaces the data of a session. */
export class SaveSessionDto {
  /** The new data, whole: a JSON object of at most 16 KiB. */
  @IsSessionData()
  data!: Record<string, unknown>;

  /** The version that the caller read; another stored version is a conflict. */
  @IsInt()
  @Min(1)
  version!: number;
}

/** A session. */
export class SessionDto {
  /** Names the session; it is no secret and opens nothing. */
  session_id!: string;
  /** Whose it is: the `sub` of the token that opened it. */
  user_id!: string;
  /** What it may do in this project. */
  @ApiProperty({ enum: ROLES, enumName: 'Role' })
  role!: Role;
  /** What it carries. */
  data!: Record<string, unknown>;
  /** Grows by one with each change of `data`. */
  version!: number;
  /** When it was opened: RFC 3339, Redis time. */
  created_at!: string;
  /** When it ends unless it is used before: RFC 3339, Redis time. */
  expires_at!: string;
}

/** A session that was just opened. */
export class OpenedSessionDto extends SessionDto {
  /** The secret that authenticates: `Authorization: Session <token>`. It is told only once. */
  token!: string;
}

/** Sessions of the project, in the order in which they expire. */
export class SessionListDto {
  items!: SessionDto[];
  /** Pass it as `cursor` for the next page; absent on the last. */
  next_cursor?: string;
}

/** Whose sessions end. */
export class EndSessionsQueryDto {
  /** The user (`sub`); absent: all sessions of the project. */
  @IsOptional()
  @IsString()
  @Length(1, 256)
  user_id?: string;
}
